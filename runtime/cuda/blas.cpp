#include "runtime/cuda/blas.h"

#include <cublasLt.h>

#include <cstring>
#include <map>
#include <mutex>

#include "runtime/allocator.h"
#include "runtime/check.h"
#include "runtime/cuda/stream.h"
#include "runtime/dtype.h"
#include "runtime/non_copyable.h"

namespace demi::gpu {
namespace {

constexpr size_t kWorkspace = size_t{32} << 20;

void check_blas(cublasStatus_t status, const char* call) {
    check(status == CUBLAS_STATUS_SUCCESS, "cublasLt", call, " failed: ", cublasLtGetStatusString(status));
}

cudaDataType_t data_type(DType type) {
    switch (type) {
    case DType::f16: return CUDA_R_16F;
    case DType::bf16: return CUDA_R_16BF;
    case DType::f32: return CUDA_R_32F;
    case DType::f64: return CUDA_R_64F;
    default: fail("cublasLt", "needs f16, bf16, f32 or f64");
    }
}

uint32_t alignment_of(const void* p) {
    const uintptr_t bits = reinterpret_cast<uintptr_t>(p) | 256;
    return static_cast<uint32_t>(bits & (~bits + 1));
}

// What the choice of an algorithm depends on.
struct Key {
    int64_t m, n, k, batch, lda, ldb, ldc, stride_a, stride_b, stride_c;
    uint32_t align_a, align_b, align_c, align_extra;
    uint32_t types, flags;

    bool operator<(const Key& other) const { return std::memcmp(this, &other, sizeof(Key)) < 0; }
};

Key key_of(const BlasCall& c) {
    Key key;
    std::memset(&key, 0, sizeof key);
    key.m = c.m, key.n = c.n, key.k = c.k, key.batch = c.batch;
    key.lda = c.a.ld, key.ldb = c.b.ld, key.ldc = c.ldc;
    key.stride_a = c.a.batch_stride, key.stride_b = c.b.batch_stride, key.stride_c = c.c_batch_stride;
    key.align_a = alignment_of(c.a.data), key.align_b = alignment_of(c.b.data),
    key.align_c = alignment_of(c.c);
    key.align_extra = alignment_of(c.epilogue == BlasEpilogue::bias ? c.bias : c.row_sums);
    key.types = static_cast<uint32_t>(c.type) << 8 | static_cast<uint32_t>(c.out_type);
    key.flags =
        static_cast<uint32_t>(c.epilogue) << 2 | (c.a.transposed ? 2u : 0u) | (c.b.transposed ? 1u : 0u);
    return key;
}

struct Choice {
    bool found = false;
    cublasLtMatmulAlgo_t algorithm{};
    size_t workspace = 0;
};

struct Library {
    cublasLtHandle_t handle = nullptr;
    void* workspace = nullptr;
    std::map<Key, Choice> choices;
};

struct State {
    std::mutex mutex;
    std::map<int, Library> libraries;  // by device
};

// Never destroyed: at the program's end the driver may be gone already.
State& state() {
    static State* const all = new State;
    return *all;
}

class Layout : NonCopyable {
  public:
    // `outer` contiguous runs of `inner` elements: columns in cublasLt's order.
    Layout(DType type, int64_t inner, int64_t outer, int64_t ld, int64_t batch, int64_t stride) {
        check_blas(cublasLtMatrixLayoutCreate(&layout_, data_type(type), static_cast<uint64_t>(inner),
                                              static_cast<uint64_t>(outer), ld),
                   "cublasLtMatrixLayoutCreate");
        if (batch == 1) return;
        const int32_t count = static_cast<int32_t>(batch);
        set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, count);
        set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
    }
    ~Layout() { cublasLtMatrixLayoutDestroy(layout_); }
    operator cublasLtMatrixLayout_t() const { return layout_; }

  private:
    template <class V> void set(cublasLtMatrixLayoutAttribute_t name, const V& value) {
        check_blas(cublasLtMatrixLayoutSetAttribute(layout_, name, &value, sizeof value),
                   "cublasLtMatrixLayoutSetAttribute");
    }
    cublasLtMatrixLayout_t layout_ = nullptr;
};

// c^T = b^T a^T in cublasLt's order: its A is our b, its B is our a.
class Product : NonCopyable {
  public:
    explicit Product(const BlasCall& c)
        : call_(c), a_(stored(c.type, c.b, c.k, c.n, c.batch)), b_(stored(c.type, c.a, c.m, c.k, c.batch)),
          c_(c.out_type, c.n, c.m, c.ldc, c.batch, c.c_batch_stride) {
        const bool wide = c.type == DType::f64;
        check_blas(cublasLtMatmulDescCreate(&description_, wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                            wide ? CUDA_R_64F : CUDA_R_32F),
                   "cublasLtMatmulDescCreate");
        set(CUBLASLT_MATMUL_DESC_TRANSA, c.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
        set(CUBLASLT_MATMUL_DESC_TRANSB, c.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
        if (c.epilogue == BlasEpilogue::none) return;
        const bool bias = c.epilogue == BlasEpilogue::bias;
        set(CUBLASLT_MATMUL_DESC_EPILOGUE, bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_BGRADB);
        set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias ? c.bias : static_cast<const void*>(c.row_sums));
        set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(c.out_type));
    }
    ~Product() { cublasLtMatmulDescDestroy(description_); }

    Choice choose(cublasLtHandle_t handle, const Key& key) const {
        cublasLtMatmulPreference_t preference = nullptr;
        check_blas(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
        const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t name, const auto& value) {
            check_blas(cublasLtMatmulPreferenceSetAttribute(preference, name, &value, sizeof value),
                       "cublasLtMatmulPreferenceSetAttribute");
        };
        prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace);
        prefer(
            CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
            static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.align_b);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.align_a);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.align_c);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.align_c);
        cublasLtMatmulHeuristicResult_t result{};
        int found = 0;
        const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, description_, a_, b_, c_, c_,
                                                                     preference, 1, &result, &found);
        cublasLtMatmulPreferenceDestroy(preference);
        Choice choice;
        if (status != CUBLAS_STATUS_SUCCESS || found == 0 || result.state != CUBLAS_STATUS_SUCCESS)
            return choice;
        choice.found = true;
        choice.algorithm = result.algo;
        choice.workspace = result.workspaceSize;
        return choice;
    }

    // False where the kernel turns out not to take this call.
    bool run(const Library& library, const Choice& choice, Stream stream) const {
        const float one = 1, zero = 0;
        const double one64 = 1, zero64 = 0;
        const bool wide = call_.type == DType::f64;
        const cublasStatus_t status = cublasLtMatmul(
            library.handle, description_, wide ? static_cast<const void*>(&one64) : &one, call_.b.data, a_,
            call_.a.data, b_, wide ? static_cast<const void*>(&zero64) : &zero, call_.c, c_, call_.c, c_,
            &choice.algorithm, library.workspace, choice.workspace, static_cast<cudaStream_t>(stream));
        if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;
        check_blas(status, "cublasLtMatmul");
        return true;
    }

  private:
    static Layout stored(DType type, const BlasMatrix& x, int64_t rows, int64_t columns, int64_t batch) {
        return x.transposed ? Layout(type, rows, columns, x.ld, batch, x.batch_stride)
                            : Layout(type, columns, rows, x.ld, batch, x.batch_stride);
    }
    template <class V> void set(cublasLtMatmulDescAttributes_t name, const V& value) {
        check_blas(cublasLtMatmulDescSetAttribute(description_, name, &value, sizeof value),
                   "cublasLtMatmulDescSetAttribute");
    }

    const BlasCall& call_;
    Layout a_, b_, c_;
    cublasLtMatmulDesc_t description_ = nullptr;
};

}  // namespace

bool blas_multiply(const BlasCall& call, Queue queue) {
    const Device device = Device::cuda(queue.device);
    State& s = state();
    const std::lock_guard lock(s.mutex);
    const Stream stream = current_stream(device);  // makes the device current
    Library& library = s.libraries[device.index];
    if (library.handle == nullptr) {
        library.workspace = allocate(device, kWorkspace);
        check_blas(cublasLtCreate(&library.handle), "cublasLtCreate");
    }
    const Key key = key_of(call);
    const Product product(call);
    auto choice = library.choices.find(key);
    if (choice == library.choices.end())
        choice = library.choices.emplace(key, product.choose(library.handle, key)).first;
    if (choice->second.found) choice->second.found = product.run(library, choice->second, stream);
    check(choice->second.found || call.epilogue != BlasEpilogue::none, "matmul",
          "cublasLt has no kernel for [", call.m, ", ", call.k, "] times [", call.k, ", ", call.n, "] of ",
          call.type, " to ", call.out_type, " with lines ", call.a.ld, ", ", call.b.ld, " and ", call.ldc,
          " apart");
    return choice->second.found;
}

}  // namespace demi::gpu
