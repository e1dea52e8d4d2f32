#include <algorithm>
#include <cmath>
#include <cstddef>

#include "examples/common/format.h"
#include "examples/common/report/sections.h"
#include "examples/common/text.h"
#include "runtime/check.h"

namespace demi::examples::report {
namespace {

constexpr size_t kMostPictures = 6, kMostHeads = 8, kMostPca = 9;
constexpr int kPixels = 128;

// Dark blue, violet, red, orange, pale yellow: lightness grows evenly, so it reads without colour vision too.
void heat(double t, uint8_t* rgb) {
    static const double stops[5][3] = {
        {8, 12, 52}, {90, 24, 120}, {196, 52, 82}, {246, 140, 40}, {252, 246, 170}};
    const double place = std::clamp(t, 0.0, 1.0) * 4;
    const int i = std::min(3, static_cast<int>(place));
    for (int c = 0; c < 3; ++c)
        rgb[c] =
            static_cast<uint8_t>(std::lround(stops[i][c] + (stops[i + 1][c] - stops[i][c]) * (place - i)));
}

Picture heat_picture(const std::vector<float>& values, int rows, int columns) {
    float low = 0, high = 0;
    bool any = false;
    for (const float v : values) {
        if (!std::isfinite(v)) continue;
        low = any ? std::min(low, v) : v;
        high = any ? std::max(high, v) : v;
        any = true;
    }
    Picture out(columns, rows, 3);
    for (size_t i = 0; i < values.size(); ++i) {
        const double part =
            std::isfinite(values[i]) && high > low ? double(values[i] - low) / double(high - low) : 0;
        heat(part, out.pixels.data() + 3 * i);
    }
    return out;
}

std::string peak(const std::vector<float>& values) {
    double most = 0;
    for (const float v : values)
        if (std::isfinite(v)) most = std::max(most, double{v});
    return percent(most);
}

void check_patches(size_t got, int rows, int columns, size_t each) {
    const size_t needed = size_t(std::max(rows, 0)) * size_t(std::max(columns, 0)) * each;
    check(got == needed && needed > 0, "report", "a map of ", rows, " x ", columns, " patches needs ", needed,
          " values: ", got);
}

void begin_row(std::string& out, const Picture& picture, const std::string& caption) {
    const bool coarse = std::max(picture.width, picture.height) <= 64;
    out += std::string("<div class=\"card maps") + (coarse ? " coarse" : "") + "\" style=\"--p:url(";
    if (!picture.empty()) out += png_data_uri(shrink(picture, kPixels));
    out += ");--r:" + std::to_string(std::max(picture.width, 1)) + "/" +
           std::to_string(std::max(picture.height, 1)) + "\"><figure><div role=img aria-label=\"" +
           html_escape(caption) + "\"></div><figcaption>" + html_escape(caption) + "</figcaption></figure>";
}

void add_map(std::string& out, const Picture& map, const std::string& caption, const std::string& detail,
             const char* kind) {
    out += "<figure><div class=\"" + std::string(kind) + "\"><img alt=\"" + html_escape(caption) +
           "\" src=\"" + png_data_uri(shrink(map, 64)) + "\"></div><figcaption>" + html_escape(caption) +
           " <small>" + detail + "</small></figcaption></figure>";
}

}  // namespace

void add_attention(std::string& out, const Report& report) {
    if (report.attention.empty()) return;
    begin_section(out, "attention", "Attention",
                  "Where the class token looks in the last block: the mean of all heads, then each head on "
                  "its own. Every map "
                  "uses the whole colour scale; the figure is the share of its strongest patch.");
    out += "<label class=mix hidden>picture <input type=range min=0 max=1 step=0.05 value=0.7 "
           "aria-label=\"Strength of the maps over the pictures\"> map</label><div class=allmaps>";
    for (size_t i = 0; i < std::min(report.attention.size(), kMostPictures); ++i) {
        const AttentionPicture& a = report.attention[i];
        std::vector<float> mean(size_t(std::max(a.rows, 0)) * size_t(std::max(a.columns, 0)));
        for (const std::vector<float>& head : a.heads) {
            check_patches(head.size(), a.rows, a.columns, 1);
            for (size_t k = 0; k < head.size(); ++k) mean[k] += head[k] / static_cast<float>(a.heads.size());
        }
        begin_row(out, a.picture, a.caption);
        if (a.heads.size() > 1)
            add_map(out, heat_picture(mean, a.rows, a.columns), "mean", peak(mean), "heat");
        for (size_t h = 0; h < std::min(a.heads.size(), kMostHeads); ++h)
            add_map(out, heat_picture(a.heads[h], a.rows, a.columns), "head " + std::to_string(h),
                    peak(a.heads[h]), "heat");
        out += "</div>";
    }
    out += "</div>";
    end_section(out);
}

void add_pca(std::string& out, const Report& report) {
    if (report.pca.empty()) return;
    begin_section(out, "features", "Patch features",
                  "The first three principal components of the patch features of all these pictures "
                  "together, as red, green "
                  "and blue: patches that the network finds alike have like colours.");
    out += "<div class=pairmaps>";
    for (size_t i = 0; i < std::min(report.pca.size(), kMostPca); ++i) {
        const PcaPicture& p = report.pca[i];
        check_patches(p.rgb.size(), p.rows, p.columns, 3);
        Picture map(p.columns, p.rows, 3);
        for (size_t k = 0; k < p.rgb.size(); ++k)
            map.pixels[k] = static_cast<uint8_t>(p.rgb[k] > 0 ? std::min(p.rgb[k], 1.0f) * 255 + 0.5f : 0.0f);
        begin_row(out, p.picture, p.caption);
        add_map(out, map, "features", std::to_string(p.rows) + " × " + std::to_string(p.columns), "plain");
        out += "</div>";
    }
    out += "</div>";
    end_section(out);
}

}  // namespace demi::examples::report
