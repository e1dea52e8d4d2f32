// Warp operations: shuffles, ballots, ldmatrix and mma with the register layouts of the PTX manual.
#include <string>

#include "runtime/half.h"
#include "tests/support/gpu/block.h"

namespace demi::gpu::emulation {

void rendezvous(const char* name, void* operands, WarpWork work) {
    std::vector<Thread>& threads = threads_of_block();
    const size_t first = static_cast<size_t>(current->place.linear) / 32 * 32;
    if (first + 32 > threads.size())
        misuse(std::string(name) + " in a warp of fewer than 32 threads: the block has " +
               std::to_string(threads.size()));
    Warp& warp = warp_of(*current);
    if (warp.done > 0) misuse(std::string(name) + " after a lane of the warp has ended");
    current->warp_operation = name;
    current->operands = operands;
    current->state = State::in_warp;
    if (++warp.waiting < 32) return block_until_resumed();
    warp.waiting = 0;
    for (size_t i = 0; i < 32; ++i) {
        const char* other = threads[first + i].warp_operation;
        if (other != name && std::string_view(other) != name)
            misuse(std::string("lanes of one warp meet at ") + name + " and " + other);
    }
    void* all[32];
    for (size_t i = 0; i < 32; ++i) all[i] = threads[first + i].operands;
    if (work != nullptr) work(all);
    for (size_t i = 0; i < 32; ++i) threads[first + i].state = State::ready;
}

uint32_t ballot(bool predicate) {
    struct Vote {
        bool mine;
        uint32_t all;
    } vote{predicate, 0};
    rendezvous("ballot", &vote, [](void* const* votes) {
        uint32_t mask = 0;
        for (int i = 0; i < 32; ++i) mask |= static_cast<uint32_t>(static_cast<Vote*>(votes[i])->mine) << i;
        for (int i = 0; i < 32; ++i) static_cast<Vote*>(votes[i])->all = mask;
    });
    return vote.all;
}

uint16_t f16_from(float x) { return f32_to_f16_bits(x); }
float f16_to(uint16_t bits) { return f16_bits_to_f32(bits); }

namespace {

struct Matrices {
    const void* row;
    int count;
    bool trans;
    uint32_t r[4];
};

// Matrix m has its eight rows at the addresses of lanes 8m..8m+7. Lane i receives row i/4, columns 2(i%4) and
// the next; transposed: column i/4, rows 2(i%4) and the next.
void ldmatrix_work(void* const* operands) {
    const auto element = [&](int matrix, int row, int column) {
        const auto* from =
            static_cast<const uint16_t*>(static_cast<const Matrices*>(operands[8 * matrix + row])->row);
        return static_cast<uint32_t>(from[column]);
    };
    for (int i = 0; i < 32; ++i) {
        Matrices& own = *static_cast<Matrices*>(operands[i]);
        for (int m = 0; m < own.count; ++m) {
            const int outer = i / 4, inner = 2 * (i % 4);
            const uint32_t low = own.trans ? element(m, inner, outer) : element(m, outer, inner);
            const uint32_t high = own.trans ? element(m, inner + 1, outer) : element(m, outer, inner + 1);
            own.r[m] = low | high << 16;
        }
    }
}

struct Product {
    float d[4];
    uint32_t a[4], b[2];
    bool is_bf16;
};

float part_of(uint32_t pair, int high, bool is_bf16) {
    const auto bits = static_cast<uint16_t>(pair >> (16 * high));
    return is_bf16 ? bf16_bits_to_f32(bits) : f16_bits_to_f32(bits);
}

// Lane 4g+t: a[0] row g, columns 2t 2t+1; a[1] row g+8; a[2], a[3] those rows 8 columns further; b[0] rows 2t
// 2t+1 of column g; b[1] 8 rows further; d[0] d[1] row g, columns 2t 2t+1; d[2] d[3] row g+8.
void mma_work(void* const* operands) {
    const auto lane_of = [&](int i) -> Product& { return *static_cast<Product*>(operands[i]); };
    const bool is_bf16 = lane_of(0).is_bf16;
    float a[16][16], b[16][8];
    for (int i = 0; i < 32; ++i) {
        const Product& own = lane_of(i);
        const int g = i / 4, t = i % 4;
        for (int high = 0; high < 2; ++high) {
            for (int r = 0; r < 4; ++r)
                a[g + 8 * (r % 2)][2 * t + high + 8 * (r / 2)] = part_of(own.a[r], high, is_bf16);
            for (int r = 0; r < 2; ++r) b[2 * t + high + 8 * r][g] = part_of(own.b[r], high, is_bf16);
        }
    }
    for (int i = 0; i < 32; ++i) {
        Product& own = lane_of(i);
        for (int r = 0; r < 4; ++r) {
            const int row = i / 4 + 8 * (r / 2), column = 2 * (i % 4) + r % 2;
            double sum = static_cast<double>(own.d[r]);
            for (int k = 0; k < 16; ++k)
                sum += static_cast<double>(a[row][k]) * static_cast<double>(b[k][column]);
            own.d[r] = static_cast<float>(sum);
        }
    }
}

}  // namespace

void ldmatrix(uint32_t* r, int count, bool trans, const void* row) {
    if (lane() < 8 * count) {
        check_shared(row, 16, "ldmatrix");
        check_arrived(row, "ldmatrix");
    }
    Matrices operands{row, count, trans, {}};
    const char* name = count == 4 ? (trans ? "ldmatrix_x4_trans" : "ldmatrix_x4")
                                  : (trans ? "ldmatrix_x2_trans" : "ldmatrix_x2");
    rendezvous(name, &operands, ldmatrix_work);
    for (int m = 0; m < count; ++m) r[m] = operands.r[m];
}

void mma(float* d, const uint32_t* a, const uint32_t* b, bool is_bf16) {
    Product operands{{d[0], d[1], d[2], d[3]}, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}, is_bf16};
    rendezvous(is_bf16 ? "mma_m16n8k16_bf16" : "mma_m16n8k16_f16", &operands, mma_work);
    for (int i = 0; i < 4; ++i) d[i] = operands.d[i];
}

}  // namespace demi::gpu::emulation
