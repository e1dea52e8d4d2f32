// A doctest reporter that speaks TAP (--reporters=tap), so that `meson test` counts every case.
#include "tests/support/skip.h"

#include <cstdio>
#include <doctest/doctest.h>
#include <iostream>
#include <mutex>
#include <sstream>
#include <unistd.h>

namespace demi::test {

namespace {
std::string skip_reason;
}

void mark_skipped(const std::string& why) { skip_reason = why.empty() ? "no reason given" : why; }

std::string take_skipped() {
    std::string why;
    why.swap(skip_reason);
    return why;
}

namespace {

using namespace doctest;

class TapReporter : public IReporter {
  public:
    explicit TapReporter(const ContextOptions& options) : out_(*options.cout) {}

    void report_query(const QueryData&) override {}
    void test_run_start() override {}
    void test_case_reenter(const TestCaseData&) override {}
    void subcase_start(const SubcaseSignature&) override {}
    void subcase_end() override {}
    void test_case_skipped(const TestCaseData&) override {}

    void test_run_end(const TestRunStats&) override {
        // A filter that matches nothing is a mistake in the list of tests, not a success.
        if (count_ == 0) out_ << "not ok " << ++count_ << " - no test case matches the filter\n";
        out_ << "1.." << count_ << std::endl;
    }

    void test_case_start(const TestCaseData& data) override {
        current_ = &data;
        notes_.clear();
        take_skipped();
        // What a test's own code prints is no TAP: it goes to stderr meanwhile.
        std::fflush(stdout);
        stdout_ = ::dup(STDOUT_FILENO);
        ::dup2(STDERR_FILENO, STDOUT_FILENO);
    }

    void test_case_end(const CurrentTestCaseStats& stats) override {
        std::fflush(stdout);
        ::dup2(stdout_, STDOUT_FILENO);
        ::close(stdout_);
        const std::string why = take_skipped();
        out_ << (stats.testCaseSuccess ? "ok " : "not ok ") << ++count_ << " - " << current_->m_name;
        if (stats.testCaseSuccess && !why.empty()) out_ << " # SKIP " << why;
        out_ << std::endl;
        // Meson prints a failed test's stderr, but not its TAP comments.
        if (!stats.testCaseSuccess) std::cerr << current_->m_name << ":\n" << notes_;
    }

    void test_case_exception(const TestCaseException& e) override {
        note(std::string("exception: ") + e.error_string.c_str());
    }

    void log_assert(const AssertData& data) override {
        if (!data.m_failed) return;
        std::string text = std::string(data.m_file) + ":" + std::to_string(data.m_line) + ": " + data.m_expr;
        if (data.m_threw) {
            text += std::string("  threw  ") + data.m_exception.c_str();
        } else if (data.m_decomp.size() > 0) {
            text += std::string("  =>  ") + data.m_decomp.c_str();
        }
        note(text + infos());
    }

    void log_message(const MessageData& data) override { note(data.m_string.c_str() + infos()); }

  private:
    void note(const std::string& text) {
        std::lock_guard<std::mutex> guard(mutex_);
        notes_ += "  " + text + "\n";
    }

    static std::string infos() {
        std::string text;
        for (int i = 0; i < get_num_active_contexts(); ++i) {
            std::ostringstream line;
            get_active_contexts()[i]->stringify(&line);
            text += "\n      with " + line.str();
        }
        return text;
    }

    std::ostream& out_;
    const TestCaseData* current_ = nullptr;
    int count_ = 0, stdout_ = -1;
    std::mutex mutex_;
    std::string notes_;
};

}  // namespace
}  // namespace demi::test

using demi::test::TapReporter;
REGISTER_REPORTER("tap", 1, TapReporter);
