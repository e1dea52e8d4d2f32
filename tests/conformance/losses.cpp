#include "models/dino_loss.h"
#include "ops/views/views.h"
#include "tests/conformance/case.h"

namespace demi::conformance {

static void finish(Case& c, const Variable& loss) {
    loss.backward();
    c.result("out.loss", loss.value().reshape({1}));
}

static void run_dino_loss(Case& c) {
    const auto& p = c.params();
    const Tensor teacher = c.tensor("in.teacher"), center = c.tensor("in.center");
    const double temp = p.at("teacher_temp").get<double>();
    const Tensor targets = softmax_center(teacher, center, temp);
    c.result("out.softmax", targets);
    c.result("out.sinkhorn", sinkhorn_knopp(teacher, temp, p.at("sinkhorn_iterations").get<int>()));
    std::vector<Variable> students;
    for (const Tensor& s : c.list("in.student.")) students.emplace_back(s, true);
    const int64_t half = targets.size(0) / 2;
    finish(c, dino_loss(students, {targets.slice(0, 0, half), targets.slice(0, half, 2 * half)},
                        p.at("student_temp").get<double>()));
    for (size_t i = 0; i < students.size(); ++i) c.gradient("student." + std::to_string(i), students[i]);
    update_center(center, teacher, p.at("center_momentum").get<double>());
    c.result("out.center", center);
}

static void run_ibot_loss(Case& c) {
    const Variable student = c.leaf("in.student");
    finish(c, ibot_loss(student, c.tensor("in.teacher_softmax"), c.tensor("in.mask"),
                        c.params().at("student_temp").get<double>()));
    c.gradient("student", student);
}

static void run_koleo_loss(Case& c) {
    const Variable x = c.leaf("in.x");
    finish(c, koleo_loss(x));
    c.gradient("x", x);
}

const Runners loss_runners = {
    {"dino_loss", run_dino_loss}, {"ibot_loss", run_ibot_loss}, {"koleo_loss", run_koleo_loss}};

}  // namespace demi::conformance
