// Cases of what works in place, without a graph: optimizers, averages, norms of gradients.
#include "tests/bits/bits.h"

namespace demi::bits {

using Tensors = std::vector<Tensor>;

static const std::vector<Shapes> kLists = {{{1}, {7}, {3, 17}, {0}, {1200}, {65}}, {{70000}, {257, 130}}};

static Tensors draw_list(uint64_t seed, const Shapes& shapes, DType dtype, const Numbers& numbers = {},
                         Layout layout = Layout::plain) {
    Tensors all;
    for (size_t i = 0; i < shapes.size(); ++i)
        all.push_back(draw(seed + i, shapes[i], dtype, numbers, layout));
    return all;
}

static void hash_list(Hash& hash, const Tensors& tensors) {
    for (const Tensor& t : tensors) hash.tensor(t);
}

// fn for every list of shapes, dtypes of a parameter and its gradient, and strides of the gradient.
static void run_lists(const std::string& op, const std::string& detail,
                      const std::function<void(Hash&, const Shapes&, DType param, DType grad, Layout)>& fn) {
    const DType floats[] = {DType::f32, DType::f16, DType::bf16, DType::f64};
    for (const Shapes& shapes : kLists)
        for (const DType param : floats)
            for (const DType grad : floats)
                for (const Layout layout : {Layout::plain, Layout::stepped, Layout::transposed}) {
                    if (small_only() && shapes[0].numel() > 3000) continue;
                    const std::string laid = layout == Layout::plain     ? "/plain"
                                             : layout == Layout::stepped ? "/stepped"
                                                                         : "/transposed";
                    run(op, detail + "/" + text(DTypes{param, grad}) + "/" + text(shapes) + laid, [&] {
                        Hash hash;
                        fn(hash, shapes, param, grad, layout);
                        return Results{{"y", hash}};
                    });
                }
}

// Three steps, the first with a gradient missing, the last with a factor on the device.
static Tensor factor_of(int step) {
    return step < 2 ? Tensor() : on_device(Tensor::full({1}, 0.7, DType::f64));
}

static void adamw_steps(Hash& hash, const Shapes& shapes, DType param, DType grad, Layout layout) {
    const DType state = param == DType::f64 ? DType::f64 : DType::f32;
    const Tensors p = draw_list(1, shapes, param);
    Tensors m, v;
    for (const Shape& shape : shapes) {
        m.push_back(Tensor::zeros(shape, state, device()));
        v.push_back(Tensor::zeros(shape, state, device()));
    }
    for (int step = 0; step < 3; ++step) {
        const Tensors g = draw_list(100 * static_cast<uint64_t>(step + 1), shapes, grad, {-1, 1}, layout);
        std::vector<AdamwTensor> all(shapes.size());
        for (size_t i = 0; i < all.size(); ++i) {
            all[i].param = p[i];
            if (step > 0 || i > 0) all[i].grad = g[i];
            all[i].exp_avg = m[i];
            all[i].exp_avg_sq = v[i];
            all[i].lr = 1e-2 / static_cast<double>(i + 1);
            all[i].weight_decay = i % 2 == 0 ? 0.05 : 0;
            all[i].step = step + 1;
            all[i].factor = factor_of(step);
        }
        AdamwOptions options;
        options.grad_scale = step == 1 ? 0.3 : 1;
        adamw(all, options);
    }
    hash_list(hash, p);
    hash_list(hash, m);
    hash_list(hash, v);
}

static void sgd_steps(Hash& hash, const Shapes& shapes, DType param, DType grad, Layout layout,
                      double momentum, bool nesterov) {
    const Tensors p = draw_list(1, shapes, param);
    Tensors buffers;
    for (const Shape& shape : shapes)
        buffers.push_back(Tensor::zeros(shape, param == DType::f64 ? DType::f64 : DType::f32, device()));
    for (int step = 0; step < 3; ++step) {
        const Tensors g = draw_list(100 * static_cast<uint64_t>(step + 1), shapes, grad, {-1, 1}, layout);
        std::vector<SgdTensor> all(shapes.size());
        for (size_t i = 0; i < all.size(); ++i) {
            all[i].param = p[i];
            if (step > 0 || i > 0) all[i].grad = g[i];
            if (momentum > 0) all[i].momentum = buffers[i];
            all[i].lr = 1e-1 / static_cast<double>(i + 1);
            all[i].weight_decay = i % 2 == 0 ? 0.05 : 0;
            all[i].factor = factor_of(step);
        }
        SgdOptions options;
        options.momentum = momentum;
        options.nesterov = nesterov;
        options.grad_scale = step == 1 ? 0.3 : 1;
        sgd(all, options);
    }
    hash_list(hash, p);
    hash_list(hash, buffers);
}

// Norms of gradients: two groups, one gradient undefined.
static void norms(Hash& hash, const Shapes& shapes, DType first, DType second, Layout layout) {
    Tensors grads = draw_list(1, shapes, first, {-1, 1}, layout),
            others = draw_list(50, shapes, second, {-2, 3}, layout);
    const std::vector<Tensors> groups = {grads, others};
    for (const double limit : {0.0, 1.0, 1e6}) hash.tensor(grad_factors(groups, 0.25, limit, device()));
    Tensors all = grads;
    all.insert(all.end(), others.begin(), others.end());
    all.push_back(Tensor());
    hash.number(grad_norm(all));
    hash.word(grads_finite(all));
    if (layout != Layout::plain) return;
    hash.number(clip_grad_norm(all, 1.5));
    hash_list(hash, all);
    scale_grads(grads, 1.0 / 3);
    hash_list(hash, grads);
    all[1] = draw(3, {200}, first, {-1, 1, true});
    hash.number(clip_grad_norm(all, 1.5));
    hash.tensor(grad_factors(std::vector<Tensors>{grads, {all[1]}}, 2, 1, device()));
    hash.word(grads_finite(all));
}

void optimizer_cases() {
    run_lists("adamw", "steps", adamw_steps);
    for (const double momentum : {0.0, 0.9})
        for (const bool nesterov : {false, true})
            if (momentum > 0 || !nesterov)
                run_lists("sgd",
                          nesterov       ? "nesterov"
                          : momentum > 0 ? "momentum"
                                         : "plain",
                          [=](Hash& hash, const Shapes& shapes, DType param, DType grad, Layout layout) {
                              sgd_steps(hash, shapes, param, grad, layout, momentum, nesterov);
                          });
    run_lists("ema", "twice", [](Hash& hash, const Shapes& shapes, DType dst, DType src, Layout layout) {
        const Tensors average = draw_list(1, shapes, dst);
        ema(average, draw_list(20, shapes, src, {}, layout), 0.99);
        ema(average, draw_list(40, shapes, src, {}, layout), 0.5);
        hash_list(hash, average);
    });
    run_lists("grad_norm", "groups", norms);
    run("grad_norm", "clip_factor", [] {
        Hash hash;
        for (const double norm : {0.0, 0.5, 1.0, 3.0, 1e300 * 1e300})
            for (const double limit : {0.5, 1.0, 7.0}) hash.number(clip_factor(norm, limit));
        return Results{{"y", hash}};
    });
}

}  // namespace demi::bits
