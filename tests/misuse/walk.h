#pragma once
// A walk calls one public function with everything that could be wrong: walks.add(names, function, base...).
// `base` is one right call. From there each argument takes every hostile value of its type (hostile.cpp), alone,
// in pairs, and all arguments at once at random. Each walk runs in a process of its own (run.cpp), so that one which
// ends it, hangs or asks for absurd amounts of memory is a fault with a name. A call may return or throw demi::Error.
#include <any>
#include <functional>
#include <string>
#include <tuple>
#include <typeindex>
#include <vector>

#include "autograd/variable.h"
#include "tests/support/check_error.h"

namespace demi::test {

using Values = std::vector<std::any>;

// One value of an argument, made afresh for every call.
struct Hostile {
    std::string text;
    std::function<std::any()> make;
};

// Every hostile value of a type; aborts for a type that hostile.cpp does not know.
const std::vector<Hostile>& hostile(std::type_index type);
// A base value for one call: tensors get memory of their own.
std::any fresh(const std::any& value);
// Reads every element of a result and, where it has a graph, sends a gradient back through it.
void use(const Tensor& tensor);
void use(const Variable& variable);
template <class T> void use(const std::vector<T>& list) {
    if constexpr (std::is_convertible_v<T, Variable>)
        for (const T& item : list) use(item);
}
template <class T> void use(const T&) {}

struct Walk {
    std::string
        names;  // "Tensor::slice", or several that one call reaches: "Variable::shape Variable::dtype"
    Values base;
    std::vector<std::type_index> types;
    std::function<void(Values&)> call;
    bool needs_gpu = false;  // the base call is refused without one
};

class Walks {
  public:
    template <class F, class... Base> void add(const std::string& names, F fn, Base... base) {
        add_function(names, std::function(fn), std::move(base)...);
    }
    void last_needs_gpu() { all_.back().needs_gpu = device_count(DeviceType::cuda) == 0; }
    const std::vector<Walk>& all() const { return all_; }

  private:
    template <class R, class... Args, class... Base>
    void add_function(const std::string& names, std::function<R(Args...)> fn, Base... base) {
        static_assert(sizeof...(Args) == sizeof...(Base), "one base value for each argument");
        Walk walk{names, {std::any(static_cast<std::decay_t<Args>>(std::move(base)))...}, {}, {}};
        (walk.types.emplace_back(typeid(std::decay_t<Args>)), ...);
        walk.call = [fn](Values& values) { unpack(fn, values, std::index_sequence_for<Args...>()); };
        all_.push_back(std::move(walk));
    }
    template <class R, class... Args, size_t... I>
    static void unpack(const std::function<R(Args...)>& fn, Values& values, std::index_sequence<I...>) {
        (void)values;
        if constexpr (std::is_void_v<R>)
            fn(std::any_cast<std::decay_t<Args>&>(values[I])...);
        else
            use(fn(std::any_cast<std::decay_t<Args>&>(values[I])...));
    }

    std::vector<Walk> all_;
};

using Vars = std::vector<Variable>;
using Ints = std::vector<int64_t>;

void tensor_walks(Walks& walks);
void runtime_walks(Walks& walks);
void file_walks(Walks& walks);
void autograd_walks(Walks& walks);
void op_walks(Walks& walks);
void compare_walks(Walks& walks);
void layer_op_walks(Walks& walks);
void boundary_op_walks(Walks& walks);
void layer_walks(Walks& walks);
void model_walks(Walks& walks);
void training_walks(Walks& walks);
void distillation_walks(Walks& walks);
void comm_walks(Walks& walks);

// Tensors that base calls are made of: f32 from 0.1 upwards in small steps, of which `variable` wants a gradient.
Tensor tensor(const Shape& shape, DType dtype = DType::f32);
Variable variable(const Shape& shape, DType dtype = DType::f32);
Tensor indices(std::vector<int64_t> values);

struct RunOptions {
    int64_t calls = 1500;  // of one walk, about
    double patience = 20;  // seconds that one call may take
    std::string only;      // a part of the names
};
int run_walks(const Walks& walks,
              const RunOptions& options);  // TAP on stdout; the number of walks that failed

}  // namespace demi::test
