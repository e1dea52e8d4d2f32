#pragma once
// Internal: cuts a call into tasks and runs them on all threads. A task works alone, in memory of its own:
// tasks may run in any order and on any thread without changing a bit.
#include "ops/memory_efficient_attention/cpu/attention_tiles.h"

namespace demi::DEMI_BACKEND::attention {

// All of a call, but that of f32, f16 and bf16 bias_backward gives the gradient of the bias.
void forward_f32(const AttentionForward& call, Queue queue);
void bias_backward(const AttentionBackward& call, Queue queue);
void forward_f64(const AttentionForward& call, Queue queue);
void backward_f64(const AttentionBackward& call, Queue queue);

// Queries [q_begin, q_end) against keys [k_begin, k_end) of one segment (segment coordinates), batch
// and head.
struct Task {
    int64_t segment = 0, batch = 0, head = 0;
    int64_t q_begin = 0, q_end = 0, k_begin = 0, k_end = 0;
    bool want_q = false, want_kv = false;  // backward: the gradients that it writes
    bool count_grad_out = false;           // backward: it counts the rows of grad_out that it covers
    int64_t cost = 0;

    int64_t queries() const { return q_end - q_begin; }
    int64_t keys() const { return k_end - k_begin; }
};

namespace {

DEMI_INLINE int64_t rows_for_size(int64_t rows, const AttentionCall& c) {
    return clamp64(rows * 128 / max64(c.head_size, c.value_size), 64, rows);
}

// Long ones first: by powers of two, those of one class in order. `to` has room for all of them.
DEMI_INLINE void sort(const Task* tasks, int64_t count, int64_t most, Task* to) {
    int64_t n = 0;
    for (int64_t high = most, low = most / 2; n < count; high = low, low /= 2)
        for (int64_t i = 0; i < count; ++i)
            if (low < tasks[i].cost && tasks[i].cost <= high) to[n++] = tasks[i];
}

// Short ones run several at a time: group i is [begins[i], begins[i + 1]). Gives the number of groups.
DEMI_INLINE int64_t group(const Task* tasks, int64_t count, int64_t* begins) {
    constexpr int64_t kWorthAThread = int64_t{1} << 19;
    int64_t groups = 0, cost = kWorthAThread;
    for (int64_t i = 0; i < count; ++i) {
        if (cost >= kWorthAThread) {
            begins[groups++] = i;
            cost = 0;
        }
        cost += tasks[i].cost;
    }
    begins[groups] = count;
    return groups;
}

// Cuts a call and runs it: cut(task, add) gets all of a segment, batch and head, and calls add(task) for each task that it
// makes of it; it is called twice. Buffers(call, task, arena) takes the memory of a task; run(call, task, next, buffers, lost)
// does its work. next: the task that this thread is likely to run afterwards, or null. lost: the counters to add to, null
// where nothing is counted.
template <class Buffers, class Call, class Cut, class Run>
void run_tasks(const Call& c, const Cut& cut, CastCounters* const (&counters)[4], Queue queue,
               const Run& run) {
    const auto for_each = [&](const auto& add) {
        for (int64_t s = 0; s < c.segment_count; ++s)
            for (int64_t b = 0; b < c.batch; ++b)
                for (int64_t h = 0; h < c.heads; ++h)
                    cut(Task{s, b, h, 0, c.segments[s].queries(), 0, c.segments[s].keys()}, add);
    };
    int64_t count = 0, n = 0, most_cost = 0;
    for_each([&](const Task&) { ++count; });
    const Scratch task_memory(static_cast<size_t>(2 * count) * sizeof(Task), queue);
    Task *const in_order = task_memory.as<Task>(), *const tasks = in_order + count;
    for_each([&](const Task& task) {
        Task& mine = in_order[n++] = task;
        mine.cost = (task.queries() + 8) * (task.keys() + 8) * (c.head_size + c.value_size);
        most_cost = max64(most_cost, mine.cost);
    });
    sort(in_order, count, most_cost, tasks);
    const Scratch begin_memory(static_cast<size_t>(count + 1) * sizeof(int64_t), queue);
    int64_t* const begins = begin_memory.as<int64_t>();
    const int64_t groups = group(tasks, count, begins), threads = num_threads();
    const TileCounters lost[] = {{groups, counters[0], queue},
                                 {groups, counters[1], queue},
                                 {groups, counters[2], queue},
                                 {groups, counters[3], queue}};
    parallel_for(groups, [&](int64_t g) {
        const Task *const begin = tasks + begins[g], *const end = tasks + begins[g + 1];
        const Task* const next = g + threads < groups ? tasks + begins[g + threads] : nullptr;
        int64_t most = 0;
        for (const Task* task = begin; task != end; ++task) {
            Arena arena;
            Buffers(c, *task, arena);
            most = max64(most, arena.used);
        }
        const Scratch memory(static_cast<size_t>(most) * sizeof(float), queue);
        CastCounters* const mine[] = {lost[0].of(g), lost[1].of(g), lost[2].of(g), lost[3].of(g)};
        for (const Task* task = begin; task != end; ++task) {
            Arena arena{memory.as<float>()};
            run(c, *task, task + 1 != end ? task + 1 : next, Buffers(c, *task, arena), mine);
        }
    });
}

}  // namespace

// ---- one block of queries against one tile of keys: which keys it sees, and its scores; of forward and backward
// Keys of one tile, in segment coordinates, with their packed forms.
struct Tile {
    int64_t first = 0, count = 0;
    float* transposed = nullptr;  // K in panels, for Q K^T
    const float* rows = nullptr;  // K's rows
};

// Columns of the tile that a block of queries touches: [begin, end), and the whole vectors
// around them [left, right).
struct Columns {
    int64_t begin, end, left, right;
    bool all_seen;  // every query of the block sees all of [begin, end)
    bool empty() const { return begin >= end; }
};

DEMI_INLINE Columns columns_of(const AttentionSegment& seg, int64_t query, int64_t rows, const Tile& tile) {
    Columns s;
    s.begin = clamp64(query + seg.low - tile.first, 0, tile.count);
    s.end = clamp64(query + rows - 1 + seg.high - tile.first, s.begin, tile.count);
    s.left = s.begin / kPanel * kPanel;
    s.right = round_up(s.end, kLanes);
    s.all_seen = query + rows - 1 + seg.low - tile.first <= s.begin && query + seg.high - tile.first >= s.end;
    return s;
}

// The last columns of a block that sees all keys to the tile's end, where those are few beyond whole vectors.
DEMI_INLINE int64_t few_columns(const Columns& columns, const Tile& tile) {
    const int64_t rest = columns.end % kLanes;
    return columns.all_seen && columns.end == tile.count && rest <= kFewColumns ? rest : 0;
}

// Columns that one query sees; empty ones begin where they end.
struct SeenColumns {
    int64_t begin, end;
};

DEMI_INLINE void fill(float* p, int64_t begin, int64_t end, float value) {
    for (int64_t j = begin; j < end; ++j) p[j] = value;
}

// Gives what a row holds outside of what its query sees, in [left, right) of the block, the same value. In
// whole vectors: a vector that is loaded after parts of it were stored waits for those.
DEMI_INLINE void fill_outside(float* p, const Columns& block, SeenColumns row, float value) {
    const vf outside = broadcast(value);
    int64_t j = block.left;
    for (; j + kLanes <= row.begin; j += kLanes) storeu(p + j, outside);
    if (j < row.begin)
        storeu(p + j, select(first_lanes(static_cast<int>(row.begin - j)), outside, loadu(p + j)));
    j = row.end / kLanes * kLanes;
    if (j < row.end && j < block.right) {
        storeu(p + j, select(first_lanes(static_cast<int>(row.end - j)), loadu(p + j), outside));
        j += kLanes;
    }
    for (; j < block.right; j += kLanes) storeu(p + j, outside);
}

// One (segment, batch, head).
struct Place {
    const AttentionSegment* segment = nullptr;
    int64_t batch = 0, head = 0;
    int64_t queries() const { return segment->queries(); }
    int64_t keys() const { return segment->keys(); }
};

// The row of the gradient of the bias that a query adds to.
DEMI_INLINE int64_t grad_bias_row(const AttentionCall& c, int64_t batch, int64_t head, int64_t query) {
    const int64_t slice =
        (c.bias.sum_batch ? 0 : batch) * (c.bias.sum_head ? 1 : c.heads) + (c.bias.sum_head ? 0 : head);
    return c.bias.sum_query ? slice : slice * c.queries + query;
}

// Queries [query, query + rows) of a place against one tile of keys.
struct Block {
    const AttentionCall& call;
    const TileSizes& cut;
    const Place& at;
    const Tile& tile;
    int64_t query, rows;
    Columns columns = columns_of(*at.segment, query, rows, tile);

    SeenColumns seen_by_row(int64_t r) const {
        const int64_t key = query + r - tile.first;
        const int64_t begin = clamp64(key + at.segment->low, columns.begin, columns.end);
        return {begin, clamp64(key + at.segment->high, begin, columns.end)};
    }
};

// Rows of q, times scale * log2(e), so that the softmax is a power of two.
DEMI_INLINE bool load_queries(const Block& b, float* out) {
    const AttentionOperand q = rows_of(b.call.q, b.at, b.at.segment->q_begin + b.query);
    return load_rows(q, b.rows, b.call.head_size, out, b.cut.width, b.call.scale * kLog2E);
}

// out[r, left..right) = row r of a times every key's row of b: `panels` holds b transposed, its last
// rows end at `rows_end`. What a few keys beyond whole vectors give comes from those: a vector of their
// own would be mostly empty.
DEMI_INLINE void against_keys(const Block& b, int64_t depth, const float* a, int64_t width,
                              const float* panels, const float* rows_end, float* out) {
    const Columns& columns = b.columns;
    const int64_t few = few_columns(columns, b.tile);
    multiply(false, b.rows, (columns.right - columns.left) / kLanes - (few > 0), depth, a, width, 1,
             panels + columns.left * depth, kPanel, kPanel * depth, out + columns.left, b.cut.row);
    multiply_rows(b.rows, few, width, a, width, rows_end - few * width, width, out + columns.end - few,
                  b.cut.row);
}

// scores[r, left..right) = q k^T (+ bias), in units of log2(e). Columns outside of the row's own span hold
// anything finite or not.
DEMI_INLINE void score_block(const Block& b, const float* queries, float* scores, float* bias_row) {
    const AttentionBiasOperand& bias = b.call.bias;
    against_keys(b, b.call.head_size, queries, b.cut.width, b.tile.transposed,
                 b.tile.rows + b.tile.count * b.cut.width, scores);
    if (bias.data == nullptr) return;
    const int64_t count = b.columns.end - b.columns.left, width = round_up(count, kLanes);
    const int64_t key = b.at.segment->k_begin + b.tile.first + b.columns.left;
    for (int64_t r = 0; r < b.rows; ++r) {
        if (r == 0 || bias.token != 0) {
            load_rows(rows_of(bias, b.at, b.at.segment->q_begin + b.query + r, key * bias.key), 1,
                      bias.key != 0 ? count : 1, bias_row, width, kLog2E);
            if (bias.key == 0) fill(bias_row, 1, count, bias_row[0]);
        }
        float* s = scores + r * b.cut.row + b.columns.left;
        for (int64_t j = 0; j < width; j += kLanes) storeu(s + j, loadu(s + j) + loadu(bias_row + j));
    }
}

// Dropout's factors of what a row sees.
DEMI_INLINE void dropout_row(const Block& b, int64_t r, SeenColumns row, float* factor) {
    const AttentionSegment& s = *b.at.segment;
    dropout_factors(b.call, b.at.batch, b.at.head, s.q_begin + b.query + r,
                    s.k_begin + b.tile.first + row.begin, row.end - row.begin, factor + row.begin);
}

// sum[r, :] += the sum over keys of weights[r, key] * keys[key, :]. 0 * infinity is NaN: where keys are not finite, a row
// must not even touch those that it does not see.
DEMI_INLINE void add_to_queries(const Block& b, bool finite, const float* weights, const float* keys,
                                int64_t width, float* sum) {
    const int64_t together = finite || b.columns.all_seen ? b.rows : 1;
    for (int64_t r = 0; r < b.rows; r += together) {
        const SeenColumns row =
            together == b.rows ? SeenColumns{b.columns.begin, b.columns.end} : b.seen_by_row(r);
        multiply(true, together, width / kLanes, row.end - row.begin, weights + r * b.cut.row + row.begin,
                 b.cut.row, 1, keys + row.begin * width, width, kPanel, sum + r * width, width);
    }
}

// The rows of the task that this thread runs next, fetched little by little while the processor calculates.
// Heads lie interleaved in memory, so without it every task begins by waiting.
struct Upcoming {
    static constexpr int kOperands = 4;
    AttentionOperand rows[kOperands];
    int64_t count[kOperands] = {}, columns[kOperands] = {};

    void add(int i, const AttentionOperand& x, const Task& task, int64_t token, int64_t tokens,
             int64_t size) {
        rows[i] = rows_of(x, task, token);
        count[i] = tokens;
        columns[i] = size;
    }
    DEMI_INLINE void fetch(int64_t row) const {
#pragma GCC unroll 4
        for (int i = 0; i < kOperands; ++i)
            if (row < count[i]) fetch_row(rows[i], row, columns[i]);
    }
};

// What the next task loads first: its queries, keys and values, and (backward) grad_out. Nothing where that
// is more than a cache holds.
DEMI_INLINE Upcoming upcoming(const AttentionCall& call, const Task* next, const AttentionOperand* grad_out) {
    Upcoming u;
    if (next == nullptr) return u;
    const AttentionSegment& seg = call.segments[next->segment];
    const int64_t queries = next->queries(), keys = seg.keys();
    if ((queries + keys) * (call.head_size + call.value_size) > 100000) return u;
    const int64_t q = seg.q_begin + next->q_begin;
    u.add(0, call.q, *next, q, queries, call.head_size);
    u.add(1, call.k, *next, seg.k_begin, keys, call.head_size);
    u.add(2, call.v, *next, seg.k_begin, keys, call.value_size);
    if (grad_out != nullptr) u.add(3, *grad_out, *next, q, queries, call.value_size);
    return u;
}

}  // namespace demi::DEMI_BACKEND::attention
