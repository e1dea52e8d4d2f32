#pragma once
// One random graph: values, the steps that made them, and what backward sends to each value.
//
// Every step runs in the library. Its reference then gets the library's own inputs, and the gradients that hooks saw at
// its results, so that each op is judged alone: errors do not add up along the graph, and a failure names one op. What
// arrives at a value must be the sum of what the references of all its uses say.
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "autograd/variable.h"
#include "tests/fuzz/element.h"

namespace demi::fuzz {

using Variables = std::vector<Variable>;

struct Options {
    int ops = 25;  // at most, in one graph
    Device device{};
    bool doubles = false;  // nothing but f64
};

class Dice {
  public:
    explicit Dice(uint64_t seed);
    int64_t below(int64_t n) { return static_cast<int64_t>(next() % static_cast<uint64_t>(n)); }
    bool chance(double p) { return real() < p; }
    double real() { return static_cast<double>(next() >> 11) * 0x1p-53; }
    double real(double low, double high) { return low + (high - low) * real(); }
    template <class T> T one_of(const std::vector<T>& list) {
        return list[static_cast<size_t>(below(int64_t(list.size())))];
    }
    template <class T> void shuffle(std::vector<T>& list) {
        for (size_t i = list.size(); i > 1; --i)
            std::swap(list[i - 1], list[static_cast<size_t>(below(int64_t(i)))]);
    }

  private:
    uint64_t next();
    uint64_t state_;
};

// The gradient of one value in one sweep, as the hook saw it, and as the hook sent it on.
struct Arrival {
    int calls = 0;
    std::vector<double> came, left;
};

struct Value {
    Variable var;
    DType dtype = DType::f32;
    Sizes sizes;
    std::vector<double> data;
    double top = 0, least = 0;  // of |elements|; least is infinite where there are none
    bool positive = false, finite = false;
    bool needs = false;   // a gradient
    bool alters = false;  // its hook halves the gradient
    int step = -1;        // that made it; -1: a leaf
    int segment = -1;     // of recomputation, inside which it lives
    std::vector<Arrival> sweeps;
};

// A finite float of modest size.
bool usable(const Value& v, double top);

struct Step {
    std::string text;
    std::vector<int> in;
    std::function<Variables(const Variables&)> run;
    std::function<Grids(const Grids&)> reference;
    std::vector<DType> dtypes;    // of the results
    DType crossing = DType::f64;  // f16: results and gradients go through fp16
    bool cuts = false;            // the results need no gradient
    bool views = false;           // the results must lie in the input's memory
    bool same = false;            // the result must be the input itself
    std::vector<int> out{};
    int segment = -1;
    bool no_grad = false;
    std::vector<std::vector<uint64_t>> bits{};  // of the results of the first run
};

enum class Draw { any, positive, small_integers, apart };  // apart: no two elements close to each other

class Graph {
  public:
    Graph(uint64_t seed, const Options& options);
    std::string run();                    // "" or what is wrong
    std::string history(bool all) const;  // the steps that led to what is wrong, or all
    int ops() const { return made_; }
    // Derivatives of the references against differences. "" when they agree.
    std::string check_references();

    // ---- for the makers of steps (ops_*.cpp) ----
    Dice dice;
    const Value& at(int id) const { return values_[static_cast<size_t>(id)]; }
    bool doubles() const { return options_.doubles; }
    DType dtype();   // one of this graph's
    int64_t size();  // one of this graph's
    Sizes sizes(int rank_at_most = 4);
    int fresh(const Sizes& sizes, DType dtype, Draw draw = Draw::any, double reach = 2, bool gradient = true);
    int constant(const std::vector<double>& values, const Sizes& sizes,
                 DType dtype);  // a leaf without gradient
    // A value that is there, or -1.
    int find(const std::function<bool(const Value&)>& fits);
    // A finite float value of modest size, mostly one that is there.
    int input(double top = 30);
    int input_of_rank(int least, int most, double top = 30);
    // One of these sizes and dtype.
    int like(const Sizes& sizes, DType dtype, double top = 30);
    // One that broadcasts with x.
    int beside(int x, DType dtype, double top = 30);
    std::vector<int> add(Step step);
    // fn(values) of what is there already, inside recompute().
    void add_segment();

  private:
    void backward();
    void rehearse(int root, const Tensor& seed);
    std::string check();
    std::string check_step(const Step& step);
    std::string check_value(int id) const;
    std::string check_leaf(int id) const;
    std::string check_views(const Step& step) const;
    Variables call(const Step& step);
    void adopt(int id, bool hook);
    Tensor arrive(int id, const Tensor& grad);
    Tensor laid(const std::vector<double>& values, const Sizes& sizes, DType dtype);
    int remember(Variable var, bool needs);
    bool visible(const Value& v) const;
    void wrong(const std::string& what);

    // What the references say of one value in one sweep.
    struct Expected {
        std::vector<double> grad, room, size;
        int parts = 0;
    };

    Options options_;
    std::vector<Value> values_;
    std::vector<Step> steps_;
    std::vector<Variable>
        live_;  // of each value in the run that goes on: differs from Value::var inside a recomputation
    std::vector<std::vector<Expected>> expected_;
    std::vector<DType> dtypes_;
    std::vector<int64_t> palette_;
    std::vector<int> segment_inputs_;
    int segment_ = -1, made_ = 0, sweep_ = -1;
    bool rehearsal_ = false;  // hooks change gradients, but write nothing down
    std::vector<std::pair<int, Tensor>> rehearsed_;
    std::string wrong_;
    int wrong_step_ = -1;
};

// What makes steps. A maker looks at the graph, and may decide to do nothing.
struct Maker {
    const char* name;
    int weight;
    void (*make)(Graph& graph);
};
const std::vector<Maker>& makers();
void compare_makers(std::vector<Maker>& all);
void element_makers(std::vector<Maker>& all);
void view_makers(std::vector<Maker>& all);
void join_makers(std::vector<Maker>& all);
void reduction_makers(std::vector<Maker>& all);
void row_makers(std::vector<Maker>& all);
void product_makers(std::vector<Maker>& all);
void loss_makers(std::vector<Maker>& all);
void index_makers(std::vector<Maker>& all);
void random_makers(std::vector<Maker>& all);
void picture_makers(std::vector<Maker>& all);
void attention_makers(std::vector<Maker>& all);

// "softmax(3, 1)" from a name and what prints.
template <class... Parts> std::string say(const char* name, const Parts&... parts) {
    std::ostringstream text;
    text << name;
    (void)(text << ... << (text << ' ', parts));
    return text.str();
}

}  // namespace demi::fuzz
