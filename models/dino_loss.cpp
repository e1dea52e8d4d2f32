#include "models/dino_loss.h"

#include <cmath>
#include <cstring>

#include "autograd/grad_mode.h"
#include "models/mask_generator.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/elementwise/cast.h"
#include "ops/elementwise/functions.h"
#include "ops/index/index_select.h"
#include "ops/index/row_index.h"
#include "ops/l2_normalize/l2_normalize.h"
#include "ops/matmul/matmul.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "ops/softmax/softmax.h"
#include "ops/views/concat.h"
#include "ops/views/views.h"
#include "runtime/copy.h"

namespace demi {

// f64 stays, for gradient checks; everything else is computed in f32.
static Variable widened(const Variable& x) { return x.dtype() == DType::f64 ? x : cast(x, DType::f32); }

static void check_rows(const char* op, const char* what, const Tensor& t) {
    check(t.rank() == 2 && t.size(1) >= 1 && is_float(t.dtype()), op, what, " must be floats [rows, K]: got ",
          t);
}

static void check_center(const char* op, const Tensor& center, const Tensor& teacher) {
    check(center.defined() && center.numel() == teacher.size(1) && is_float(center.dtype()) &&
              center.device() == teacher.device(),
          op, "center must hold ", teacher.size(1), " floats beside the teacher's ", teacher, ": got ",
          center);
}

// x / temp.
static Variable cooled(const Variable& x, const LiveNumber& temp) {
    if (!capturing(x.device()) || !temp.again) return x * (1 / temp.value);
    const DType dtype = x.dtype();
    return x * Variable(live_tensor({}, dtype, x.device(), [temp, dtype](void* host) {
               std::memcpy(host, Tensor::full({}, 1 / temp.again(), dtype).raw(), size_of(dtype));
           }));
}

Tensor softmax_center(const Tensor& teacher, const Tensor& center, const LiveNumber& temp) {
    check_rows("softmax_center", "teacher", teacher);
    check_center("softmax_center", center, teacher);
    check(temp.value > 0, "softmax_center", "temp must be positive: got ", temp.value);
    const NoGrad no_grad;
    return softmax(cooled(Variable(teacher.to(DType::f32)) - reshape(center, {1, center.numel()}), temp))
        .value();
}

Tensor sinkhorn_knopp(const Tensor& teacher, const LiveNumber& temp, int iterations) {
    check_rows("sinkhorn_knopp", "teacher", teacher);
    check(temp.value > 0 && iterations >= 1, "sinkhorn_knopp", "temp and iterations must be positive: got ",
          temp.value, " and ", iterations);
    const int64_t rows = teacher.size(0), prototypes = teacher.size(1);
    if (rows == 0) return Tensor::zeros(teacher.shape(), DType::f32, teacher.device());
    const NoGrad no_grad;
    // In f64, for exp(t / temp) spans hundreds of powers of e. Taking out a prototype's maximum changes
    // nothing, for the first step divides by the prototype's sum; the lower bound keeps a row that is far
    // below all others from becoming zeros.
    const Variable logits = cooled(Variable(teacher.to(DType::f64)), temp);
    Variable scaled = clamp(exp(logits - max(logits, {0}, true)), 1e-250);
    for (int i = 0; i < iterations; ++i) {
        const Variable over_rows = sum(scaled, {0}, true);  // every prototype: the same weight
        scaled = scaled / (over_rows * static_cast<double>(prototypes));
        const Variable over_prototypes = sum(scaled, {1}, true);  // every row: the same weight
        scaled = scaled / (over_prototypes * static_cast<double>(rows));
    }
    return (scaled * static_cast<double>(rows)).value().to(DType::f32);
}

void update_center(Tensor center, const Tensor& teacher, double momentum) {
    check_rows("update_center", "teacher", teacher);
    check_center("update_center", center, teacher);
    check(momentum >= 0 && momentum <= 1, "update_center", "momentum must be in [0, 1]: got ", momentum);
    if (teacher.size(0) == 0) return;
    const NoGrad no_grad;
    const Variable batch = mean(Variable(teacher.to(DType::f32)), {0}, true);
    const Variable moved =
        Variable(center.clone()) * momentum + reshape(batch, center.shape()) * (1 - momentum);
    copy(center, moved.value());
}

// [own, K] rows to the sum, or the largest, over all shards: [1, K].
static Variable whole_batch(const std::vector<Variable>& own, const OverShards& over, bool largest) {
    const Variable all(over(concat(own, 0).value()));
    return largest ? max(all, {0}, true) : sum(all, {0}, true);
}

static double rows_in_all(const std::vector<Tensor>& own, const OverShards& over) {
    std::vector<double> counts;
    for (const Tensor& t : own) counts.push_back(static_cast<double>(t.size(0)));
    return sum(Variable(over(Tensor::from(counts, {static_cast<int64_t>(counts.size()), 1})))).item();
}

static void check_shards(const char* op, const std::vector<Tensor>& teacher, const OverShards& over) {
    check(!teacher.empty() && over != nullptr, op,
          "needs shards, and what goes over those of all ranks: got ", teacher.size(), " shards");
    for (const Tensor& t : teacher) {
        check_rows(op, "teacher", t);
        check(t.size(1) == teacher[0].size(1) && t.device() == teacher[0].device(), op,
              "shards must agree in K and device: got ", t, " and ", teacher[0]);
    }
}

std::vector<Tensor> sinkhorn_knopp(const std::vector<Tensor>& teacher, double temp, int iterations,
                                   const OverShards& over) {
    check_shards("sinkhorn_knopp", teacher, over);
    check(temp > 0 && iterations >= 1, "sinkhorn_knopp", "temp and iterations must be positive: got ", temp,
          " and ", iterations);
    const NoGrad no_grad;
    const int64_t prototypes = teacher[0].size(1);
    const Device device = teacher[0].device();
    const double rows = rows_in_all(teacher, over);
    std::vector<Variable> scaled, own;
    for (const Tensor& t : teacher) {
        scaled.push_back(Variable(t.to(DType::f64)) * (1 / temp));
        own.push_back(t.size(0) > 0 ? max(scaled.back(), {0}, true)
                                    : Variable(Tensor::full({1, prototypes}, -INFINITY, DType::f64, device)));
    }
    const Variable largest = whole_batch(own, over, true);
    for (Variable& s : scaled)
        if (s.size(0) > 0) s = clamp(exp(s - largest), 1e-250);
    for (int i = 0; i < iterations; ++i) {
        for (size_t k = 0; k < scaled.size(); ++k) own[k] = sum(scaled[k], {0}, true);
        const Variable over_rows = whole_batch(own, over, false) * static_cast<double>(prototypes);
        for (Variable& s : scaled) {
            if (s.size(0) == 0) continue;
            s = s / over_rows;
            s = s / (sum(s, {1}, true) * rows);
        }
    }
    std::vector<Tensor> targets;
    for (const Variable& s : scaled) targets.push_back((s * rows).value().to(DType::f32));
    return targets;
}

void update_center(Tensor center, const std::vector<Tensor>& teacher, double momentum,
                   const OverShards& over) {
    check_shards("update_center", teacher, over);
    check_center("update_center", center, teacher[0]);
    check(momentum >= 0 && momentum <= 1, "update_center", "momentum must be in [0, 1]: got ", momentum);
    const NoGrad no_grad;
    const double rows = rows_in_all(teacher, over);
    if (rows == 0) return;
    std::vector<Variable> own;
    for (const Tensor& t : teacher) own.push_back(sum(Variable(t.to(DType::f64)), {0}, true));
    const Variable batch = whole_batch(own, over, false) * (1 / rows);
    const Variable moved =
        Variable(center.to(DType::f64)) * momentum + reshape(batch, center.shape()) * (1 - momentum);
    copy(center, moved.value());
}

Variable dino_loss(const std::vector<Variable>& students, const std::vector<Tensor>& targets,
                   double student_temp) {
    check(!students.empty() && !targets.empty(), "dino_loss",
          "needs at least one student and one target: got ", students.size(), " and ", targets.size());
    check(student_temp > 0, "dino_loss", "student_temp must be positive: got ", student_temp);
    for (const Tensor& target : targets) check_rows("dino_loss", "targets", target);
    Variable total;
    for (const Variable& student : students) {
        check_rows("dino_loss", "students", student.value());
        const Variable logits = widened(student) * (1 / student_temp);
        // The loss is linear in the target: one cross-entropy against the sum of all targets.
        Tensor all = targets[0];
        for (size_t t = 1; t < targets.size(); ++t) all = (Variable(all) + Variable(targets[t])).value();
        check(logits.shape() == all.shape(), "dino_loss", "student and target must agree: got ",
              logits.shape(), " and ", all.shape());
        const Variable loss = cross_entropy(logits, all);
        total = total.defined() ? total + loss : loss;
    }
    return total;
}

Variable ibot_loss(const Variable& student, const Tensor& targets, const Tensor& masks, double student_temp) {
    check(masks.rank() == 2 && masks.dtype() == DType::boolean, "ibot_loss",
          "masks must be bool [images, patches]: got ", masks);
    return ibot_loss(student, targets, mask_weights(masks), masks.size(0), student_temp);
}

Variable ibot_loss(const Variable& student, const Tensor& targets, const Tensor& weights, int64_t images,
                   double student_temp) {
    check_rows("ibot_loss", "student", student.value());
    check_rows("ibot_loss", "targets", targets);
    check(student_temp > 0, "ibot_loss", "student_temp must be positive: got ", student_temp);
    check(student.shape() == targets.shape(), "ibot_loss", "student and targets must agree: got ",
          student.shape(), " and ", targets.shape());
    check(weights.defined() && weights.rank() == 1 && weights.dtype() == DType::f32, "ibot_loss",
          "weights must be f32 [masked patches]: got ", weights);
    const int64_t count = weights.numel();
    check(student.size(0) == count, "ibot_loss", "masks hold ", count,
          " masked patches, but student has shape ", student.shape());
    if (count == 0) return sum(widened(student));  // an empty sum: 0, with a gradient of no rows
    CrossEntropyOptions each;
    each.reduction = Reduction::none;
    const Variable losses = cross_entropy(widened(student) * (1 / student_temp), targets, each);
    const Variable weight(weights.to(student.device()).to(losses.dtype()));
    return sum(losses * weight) * (1 / static_cast<double>(images));
}

static Tensor nearest_rows(const Tensor& normed) {
    const NoGrad no_grad;
    const int64_t rows = normed.size(0);
    const Tensor dots = matmul(normed, normed.transpose(0, 1)).value().to(DType::f32);
    fill(dots.as_strided({rows}, {rows + 1}, dots.offset()), -INFINITY);  // no row is its own neighbour
    const Tensor nearest = argmax(dots, 1);
    trust_rows(nearest, rows);
    return nearest;
}

Variable koleo_loss(const Variable& x, double eps) {
    check_rows("koleo_loss", "features", x.value());
    check(eps > 0, "koleo_loss", "eps must be positive: got ", eps);
    check(x.size(0) >= 2, "koleo_loss", "needs at least two rows, each has to have a nearest other one: got ",
          x.shape());
    const Variable normed = l2_normalize(widened(x), eps);
    const Variable other = index_select(normed, 0, nearest_rows(normed.value()));
    const Variable distance = sqrt(sum(square(normed - other + eps), {1}));
    return -mean(log(distance + eps));
}

}  // namespace demi
