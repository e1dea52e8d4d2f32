// Losses, masks, lists, student and teacher, files: of anything.
#include "tests/models/misuse.h"
#include "tests/support/temporary.h"

namespace demi::test {

TEST_CASE("losses, targets, masks and lists of any tensor") {
    const Tensor good = Tensor::zeros({2, 8}), masks = Tensor::full({2, 1}, 1, DType::boolean);
    walk("koleo", [](const Tensor& x) { koleo_loss(x); });
    walk("sinkhorn", [](const Tensor& x) { sinkhorn_knopp(x, 0.1); });
    walk("positions", [](const Tensor& x) { masked_positions(x); });
    walk("ibot masks", [&](const Tensor& x) { ibot_loss(good, good, x); });
    walk("dino targets", [&](const Tensor& x) { dino_loss({Variable(good)}, {good, x}); });
    walk_pairs("softmax_center", [](const Tensor& x, const Tensor& y) { softmax_center(x, y, 0.1); });
    walk_pairs("update_center", [](const Tensor& x, const Tensor& y) {
        check(y.numel() < int64_t{1} << 40, "test", "that would sum for years");
        update_center(x.defined() ? x.clone() : x, y);
    });
    walk_pairs("dino", [](const Tensor& x, const Tensor& y) { dino_loss({Variable(x)}, {y}); });
    walk_pairs("ibot", [&](const Tensor& x, const Tensor& y) { ibot_loss(x, y, masks); });
    for (double temp : {0.0, -1.0, kNaN}) {
        refuse("temp", [&] { softmax_center(good, Tensor::zeros({1, 8}), temp); });
        refuse("temp", [&] { sinkhorn_knopp(good, temp); });
        refuse("temp", [&] { dino_loss({Variable(good)}, {good}, temp); });
        refuse("temp", [&] { ibot_loss(good, good, masks, temp); });
        refuse("eps", [&] { koleo_loss(good, temp); });
    }
    refuse("iterations", [&] { sinkhorn_knopp(good, 0.1, 0); });
    refuse("momentum", [&] { update_center(Tensor::zeros({1, 8}), good, kNaN); });
    refuse("no students", [&] { dino_loss({}, {good}); });
    refuse("no targets", [&] { dino_loss({Variable(good)}, {}); });

    const Variable tokens(Tensor::zeros({2, 3, 8}));
    walk("list", [&](const Tensor& x) { get_attn_bias_and_cat({tokens, x}); });
    walk("list, first", [&](const Tensor& x) { get_attn_bias_and_cat({x, tokens}); });
    walk("rows", [&](const Tensor& x) { get_attn_bias_and_cat({tokens}, {x}, {}); });
    walk("split", [&](const Tensor& x) { get_attn_bias_and_cat({tokens}).first.split(x); });
    refuse("no list", [&] { get_attn_bias_and_cat({}); });
    refuse("no list", [&] { get_attn_bias_and_cat({}, {}, {}); });
    refuse("no rows", [&] { get_attn_bias_and_cat({tokens}, {}, {}); });
    const Tensor row = Tensor::zeros({1}, DType::i64);
    walk_pairs("add_residual", [&](const Tensor& x, const Tensor& y) { add_residual(x, row, y, {}, 1, {}); });
    walk("add_residual rows", [&](const Tensor& x) { add_residual(tokens, x, tokens, {}, 1, {}); });
    for (int64_t kept : {int64_t{-1}, int64_t{3}, kHuge, INT64_MIN}) {
        refuse("drawn_rows", [&] { drawn_rows({}, 2, kept, Device::cpu()); });
        refuse("first_rows", [&] { first_rows({0, 1}, kept, Device::cpu()); });
    }
    refuse("no generator", [&] { drawn_rows({}, 2, 1, Device::cpu()); });
    refuse("kept_rows", [] { kept_rows(INT64_MIN, 0.1); });
    refuse("precision", [] { parse_precision("f31"); });
    refuse("permutation", [] { ForwardContext().draw_permutation(-1); });
}

TEST_CASE("student and teacher of any batch") {
    Generator g{1};
    SslConfig config;
    config.backbone = tiny();
    config.head = head_config();
    SSLMetaArch model(config, g);
    ForwardContext context;
    context.training = true;
    context.generator = &g;
    SslBatch good;
    good.global_crops = Tensor::zeros({2, 3, 8, 8});
    const auto with = [&](Tensor SslBatch::*field) {
        return [&model, &context, good, field](const Tensor& x) {
            check(x.defined() || field == &SslBatch::global_crops, "test", "undefined means none");
            SslBatch batch = good;
            batch.*field = x;
            model.losses(batch, 0.07, context);
        };
    };
    walk("global", with(&SslBatch::global_crops));
    walk("local", with(&SslBatch::local_crops));
    walk("masks", with(&SslBatch::masks));
    walk_pairs("centers", [&](const Tensor& x, const Tensor& y) { model.set_centers(x, y); });
    for (double temp : {0.0, -1.0, kNaN}) refuse("temp", [&] { model.losses(good, temp, context); });
    refuse("momentum", [&] { model.commit(2); });
    refuse("centering", [&] {
        SslConfig c = config;
        c.centering = "none";
        SSLMetaArch other(c, g);
    });
}

TEST_CASE("lists of parameters that do not belong together") {
    const Variable a = constant_parameter({2}, 1), b = constant_parameter({3}, 1);
    const Variable whole(Tensor::zeros({2}, DType::i64)), none;
    for (const Variable& other : {b, whole, none}) {
        CAPTURE(other.value());
        refuse("ema", [&] { ema_update({{"p", a}}, {{"p", other}}, 0.5); });
        refuse("ema", [&] { ema_update({{"p", other}}, {{"p", a}}, 0.5); });
        if (!other.defined() || other.shape() != a.shape()) {
            refuse("copy", [&] { copy_parameters({{"p", a}}, {{"p", other}}); });
            refuse("copy", [&] { copy_parameters({{"p", other}}, {{"p", a}}); });
        }
    }
    refuse("ema", [&] { ema_update({{"p", a}}, {}, 0.5); });
    refuse("copy", [&] { copy_parameters({{"p", a}}, {}); });
    refuse("copy", [&] { copy_parameters({{"p", none}}, {{"p", none}}); });
    refuse("factors", [&] { gradient_factors({}, {}, 1, 0); });
    refuse("factors", [&] { gradient_factors({{"p", a}}, {2}, 1, 0); });
    refuse("factors", [&] { gradient_factors({{"p", a}}, {1}, 1, -1); });
    refuse("factors", [&] { gradient_factors({{"p", none}}, {1}, 1, 0); });
    refuse("factors", [&] { gradient_factors({{"p", a}}, std::vector<size_t>(65, 0), 1, 0); });
    zero_grad({{"p", a}});
    CHECK(parameter_count({{"p", a}, {"q", b}}) == 5);

    const TemporaryFolder folder;
    const std::string path = folder.path() + "/state.safetensors";
    refuse("state", [&] { write_safetensors(path, state_dict({{"p", none}}), {}); });
    write_safetensors(path, state_dict({{"p", a}}), {});
    const SafetensorsFile file(path);
    for (const Variable& other : {b, none}) refuse("load", [&] { load_state_dict({{"p", other}}, file); });
    refuse("load", [&] { load_state_dict({}, file); });
    refuse("load", [&] { load_state_dict({{"q", a}}, file); });
    Optimizer optimizer({{"p", a}}, {ParameterOptions()});
    refuse("optimizer", [&] { optimizer.load(file); });
    const Metadata wrong{{"x.seed", "-"}, {"x.offset", "1e400"}};
    refuse("state", [&] { state_double(wrong, "x.offset"); });
    refuse("state", [&] { state_int(wrong, "x.seed"); });
    refuse("state", [&] { state_int(wrong, ""); });
    refuse("state", [&] { load_generator(wrong, "x"); });
}

}  // namespace demi::test
