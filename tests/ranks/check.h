#pragma once
// Cases that several ranks run together: each must hold on all of them. Rank 0 prints TAP.
#include <cstdio>
#include <functional>
#include <string>

#include "runtime/comm/job.h"

namespace demi::ranks {

class Cases {
  public:
    explicit Cases(const Communicator& world) : world_(world) {}
    // `holds` on this rank; an Error counts as no.
    void run(const std::string& name, const std::function<bool()>& holds) {
        bool good = false;
        std::string why;
        try {
            good = holds();
        } catch (const Error& error) {
            why = error.what();
        }
        std::string bad;
        const std::vector<std::string> all = world_.all_gather_text(good ? "" : "no " + why);
        for (size_t r = 0; r < all.size(); ++r)
            if (!all[r].empty()) bad += " [rank " + std::to_string(r) + ": " + all[r] + "]";
        failed_ += !bad.empty();
        ++count_;
        if (world_.rank() == 0)
            std::printf("%sok %d - %s, %d ranks%s\n", bad.empty() ? "" : "not ", count_, name.c_str(),
                        world_.size(), bad.c_str());
        std::fflush(stdout);
    }
    int status() const {
        if (world_.rank() == 0) std::printf("1..%d\n", count_);
        return failed_ > 0;
    }

  private:
    const Communicator& world_;
    int count_ = 0, failed_ = 0;
};

}  // namespace demi::ranks
