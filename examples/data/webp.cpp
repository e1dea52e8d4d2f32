#include "examples/data/decode.h"

#ifdef DEMI_WEBP
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>

#include "runtime/check.h"

namespace demi::data {

Image decode_webp(std::span<const uint8_t> file, const std::string& path) {
    WebPBitstreamFeatures about;
    check(WebPGetFeatures(file.data(), file.size(), &about) == VP8_STATUS_OK, "data", path, ": broken WebP");
    check_image_size(about.width, about.height, path);
    if (about.has_animation != 0) {
        const WebPData data{file.data(), file.size()};
        const std::unique_ptr<WebPAnimDecoder, void (*)(WebPAnimDecoder*)> frames(
            WebPAnimDecoderNew(&data, nullptr), WebPAnimDecoderDelete);
        uint8_t* rgba = nullptr;
        int time = 0;
        check(frames && WebPAnimDecoderGetNext(frames.get(), &rgba, &time) != 0, "data", path,
              ": broken WebP");
        return on_white(rgba, about.height, about.width);
    }
    const auto size = static_cast<size_t>(about.width) * static_cast<size_t>(about.height) * 4;
    std::vector<uint8_t> rgba(size);
    check(WebPDecodeRGBAInto(file.data(), file.size(), rgba.data(), size, about.width * 4) != nullptr, "data",
          path, ": broken WebP");
    return on_white(rgba.data(), about.height, about.width);
}

}  // namespace demi::data
#endif
