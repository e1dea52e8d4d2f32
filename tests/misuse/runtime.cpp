// Devices, dtypes, memory, random numbers, threads.
#include <sstream>

#include "runtime/allocator.h"
#include "runtime/capture.h"
#include "runtime/captured_step.h"
#include "runtime/copy.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"
#include "runtime/profile.h"
#include "runtime/random.h"
#include "runtime/upload.h"
#include "tests/misuse/walk.h"

namespace demi::test {
namespace {

void device_walks(Walks& walks) {
    walks.add(
        "Device::cpu Device::cuda", [](int i) { return Device::cpu() == Device::cuda(i); }, 0);
    walks.add(
        "Device::parse", [](std::string s) { return Device::parse(s); }, std::string("cpu"));
    walks.add(
        "Device::is_cpu Device::is_cuda Device::operator== name operator<<",
        [](Device d) { return name(d) + printed(d) + char(d.is_cpu() + d.is_cuda() + (d == Device())); },
        Device());
    walks.add("built_with_cuda why_no_cuda", [] { return why_no_cuda() + char(built_with_cuda()); });
    walks.add(
        "device_count", [](DeviceType t) { return device_count(t); }, DeviceType::cpu);
    walks.add(
        "synchronize", [](Device d) { synchronize(d); }, Device());
    walks.add(
        "name operator<< size_of is_float is_half is_int",
        [](DType t) {
            (void)(size_of(t), is_float(t), is_half(t), is_int(t), name(t));
            return printed(t);
        },
        DType::f32);
    walks.add(
        "promote", [](DType a, DType b) { return promote(a, b); }, DType::f32, DType::f16);
    walks.add(
        "dispatch_float dispatch_all",
        [](DType t) {
            dispatch_all(t, "walk", []<class T>() {});
            dispatch_float(t, "walk", []<class T>() {});
        },
        DType::f32);
    walks.add(
        "isa_name cpu_isa l2_cache_bytes limit_cpu_isa",
        [](Isa isa) {
            limit_cpu_isa(isa);
            const std::string text =
                std::string(isa_name(isa)) + isa_name(cpu_isa()) + std::to_string(l2_cache_bytes());
            limit_cpu_isa(Isa::v4_amx);
            return text;
        },
        Isa::v3);
    walks.add(
        "check fail Error::Error Error::op",
        [](bool ok, std::string text) {
            check(ok, text, "needed: ", text, 1.5);
            try {
                fail(text, text);
            } catch (const Error& e) {
                use(e.op());
            }
        },
        true, std::string("op"));
    walks.add(
        "checked_mul", [](int64_t a, int64_t b) { return checked_mul(a, b, "walk"); }, 2, 3);
    walks.add(
        "checked_add", [](int64_t a, int64_t b) { return checked_add(a, b, "walk"); }, 2, 3);
}

void memory_walks(Walks& walks) {
    walks.add(
        "allocate release", [](Device d, uint64_t n) { release(d, allocate(d, n), n); }, Device(), 64);
    walks.add(
        "allocator_stats reset_peak empty_cache thread_allocated_bytes thread_allocations allocator_caches",
        [](Device d) {
            (void)(thread_allocated_bytes(), thread_allocations(), allocator_caches());
            reset_peak(d);
            (void)allocator_stats(d).live_bytes;
            empty_cache(d);
        },
        Device());
    walks.add(
        "PrivatePool::PrivatePool PrivatePool::open PrivatePool::close PrivatePool::bytes",
        [](Device d, bool twice) {
            PrivatePool pool(d), second(d);
            pool.open();
            const Tensor kept = Tensor::zeros({3}, DType::f32, d);
            if (twice) second.open();
            pool.close();
            pool.close();
            (void)pool.bytes();
        },
        Device(), false);
    walks.add(
        "Buffer::Buffer Buffer::device Buffer::bytes Buffer::data Buffer::mutable_data Buffer::version "
        "Buffer::id Buffer::move_to Buffer::was_dropped",
        [](Device d, uint64_t n, Device to) {
            Buffer b(d, n);
            b.move_to(to);
            (void)(b.device(), b.bytes(), b.data(), b.mutable_data(), b.version(), b.id(), b.was_dropped());
        },
        Device(), 16, Device());
    walks.add(
        "num_threads set_num_threads", [](int n) { set_num_threads(n), (void)num_threads(); }, 2);
    // Not with 2^40 tiles: that many calls is what such a number asks for.
    walks.add(
        "parallel_for", [](int n) { parallel_for(n > 1000 ? 1000 : n, [](int64_t) {}); }, 3);
    walks.add(
        "ceil_div", [](int64_t a, int64_t b) { return ceil_div(a < 0 ? 0 : a, b < 1 ? 1 : b); }, 5, 2);
    walks.add(
        "parallel_ranges",
        [](int64_t n, int64_t grain) {
            if (n < 1000 || grain > n / 1000) parallel_ranges(n, grain, [](int64_t, int64_t) {});
        },
        10, 3);
    walks.add(
        "capturing before_replay take_draw refuse_in_capture",
        [](Device d, int64_t words, std::function<void()> fn) {
            Generator g{1};
            (void)(capturing(d), capturing());
            refuse_in_capture(d, "walk");
            (void)take_draw(g, words, d);
            before_replay(d, fn);
        },
        Device(), 4, std::function<void()>([] {}));
    walks.last_needs_gpu();
    walks.add(
        "upload", [](Tensor t, Device d) { (void)upload(t, d); }, Tensor::zeros({2}), Device());
    walks.add(
        "live_tensor", [](Shape s, DType t, Device d) { return live_tensor(s, t, d, [](void*) {}); },
        Shape{2}, DType::f32, Device());
    walks.last_needs_gpu();
    walks.add(
        "LiveNumber::LiveNumber live_number",
        [](double v, bool function, Device d) {
            (void)live_number(function ? LiveNumber(std::function<double()>()) : LiveNumber(v), d);
        },
        1.0, false, Device());
    walks.add(
        "CapturedStep::CapturedStep CapturedStep::operator() CapturedStep::replays "
        "CapturedStep::memory_bytes",
        [](Device d, std::function<void()> body, int warm_up) {
            CapturedStep step(d, body, warm_up);
            for (int i = 0; i < 4; ++i) step();
            (void)(step.replays(), step.memory_bytes());
        },
        Device(), std::function<void()>([] {}), 2);
}

void random_walks(Walks& walks) {
    walks.add(
        "philox4x32 to_uniform random_word",
        [](uint64_t a, uint64_t b, uint64_t c) {
            (void)philox4x32({uint32_t(a)}, {uint32_t(b)});
            return to_uniform(random_word(a, b, c));
        },
        1, 2, 3);
    walks.add(
        "Generator::take", [](Generator g, int64_t n) { (void)g.take(n); }, Generator{1}, 4);
    walks.add(
        "Generator::next_below", [](Generator g, uint32_t n) { return g.next_below(n); }, Generator{1}, 4);
    walks.add(
        "Generator::next_uniform Generator::fork Generator::operator==",
        [](Generator g, uint64_t n) {
            (void)g.next_uniform();
            return g.fork(n) == g;
        },
        Generator{1}, 4);
    walks.add(
        "Generator::permutation", [](Generator g, int64_t n) { return g.permutation(n); }, Generator{1}, 4);
    walks.add(
        "rand randn",
        [](Shape s, Generator g, DType t, Device d) {
            use(rand(s, g, t, d));
            return randn(s, g, t, d);
        },
        Shape{2, 3}, Generator{1}, DType::f32, Device());
    walks.add(
        "randint",
        [](int64_t low, int64_t high, Shape s, Generator g, DType t, Device d) {
            return randint(low, high, s, g, t, d);
        },
        0, 9, Shape{2, 3}, Generator{1}, DType::i64, Device());
    walks.add(
        "uniform", [](Tensor t, Generator g, double a, double b) { uniform(t, g, a, b); }, tensor({2, 3}),
        Generator{1}, 0.0, 1.0);
    walks.add(
        "normal", [](Tensor t, Generator g, double a, double b) { normal(t, g, a, b); }, tensor({2, 3}),
        Generator{1}, 0.0, 1.0);
    walks.add(
        "trunc_normal",
        [](Tensor t, Generator g, double m, double s, double a, double b) { trunc_normal(t, g, m, s, a, b); },
        tensor({2, 3}), Generator{1}, 0.0, 1.0, -2.0, 2.0);
}

}  // namespace

void runtime_walks(Walks& walks) {
    device_walks(walks);
    memory_walks(walks);
    random_walks(walks);
}

}  // namespace demi::test
