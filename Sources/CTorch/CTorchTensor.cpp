#include "Support.h"

#include <cstdlib>
#include <cstring>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/version.h>

using namespace ctorch;

static_assert(static_cast<int>(at::kByte) == CT_UINT8 && static_cast<int>(at::kChar) == CT_INT8);
static_assert(static_cast<int>(at::kShort) == CT_INT16 && static_cast<int>(at::kInt) == CT_INT32);
static_assert(static_cast<int>(at::kLong) == CT_INT64 && static_cast<int>(at::kHalf) == CT_FLOAT16);
static_assert(static_cast<int>(at::kFloat) == CT_FLOAT32 && static_cast<int>(at::kDouble) == CT_FLOAT64);
static_assert(static_cast<int>(at::kBool) == CT_BOOL && static_cast<int>(at::kBFloat16) == CT_BFLOAT16);
static_assert(static_cast<int>(at::kCPU) == CT_CPU && static_cast<int>(at::kCUDA) == CT_CUDA && static_cast<int>(at::kMeta) == CT_META);

namespace {

// LibTorch asks the kernel for huge pages where a tensor is large enough: gradients and activations are new memory in every
// step, and page faults were a third of the time of 16 experts' products in bfloat16. Whoever sets the variable decides.
[[maybe_unused]] const bool hugePages = setenv("THP_MEM_ALLOC_ENABLE", "1", 0) == 0;

thread_local std::string lastError;

at::TensorOptions options(int32_t dtype, int32_t device = CT_CPU, int32_t index = -1) {
    const auto kind = static_cast<c10::DeviceType>(device);
    const auto place = kind == at::kCPU ? at::Device(at::kCPU) : at::Device(kind, static_cast<c10::DeviceIndex>(index));
    return at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype)).device(place);
}

}  // namespace

int32_t ctorch::caught() noexcept {
    try {
        try {
            throw;
        } catch (const c10::OutOfMemoryError &error) {
            lastError = error.what_without_backtrace();
            return CT_OUT_OF_MEMORY;
        } catch (const c10::Error &error) {
            lastError = error.what_without_backtrace();
            return lastError.find("can't allocate memory") != std::string::npos ? CT_OUT_OF_MEMORY : CT_ERROR;
        } catch (const std::bad_alloc &error) {
            lastError = error.what();
            return CT_OUT_OF_MEMORY;
        } catch (const std::exception &error) {
            lastError = error.what();
            return CT_ERROR;
        } catch (...) {
            lastError = "an exception that is not a std::exception";
            return CT_UNKNOWN_ERROR;
        }
    } catch (...) {
        return CT_OUT_OF_MEMORY;  // keeping the message itself failed
    }
}

extern "C" {

const char *ct_last_error(void) { return lastError.c_str(); }
const char *ct_version(void) { return TORCH_VERSION; }

int32_t ct_fail_for_test(int32_t kind) {
    return guarded([&] {
        switch (kind) {
            case 0: TORCH_CHECK(false, "a failure for a test"); break;
            case 1: throw std::runtime_error("a failure for a test");
            case 3: throw std::bad_alloc();
            default: throw 42;
        }
    });
}

int32_t ct_tensor_empty(const intptr_t *shape, int32_t rank, int32_t dtype, int32_t device, int32_t index, CTTensorOut out) {
    return guarded([&] { give(out, at::empty(ints(shape, rank), options(dtype, device, index))); });
}

int32_t ct_tensor_full(const intptr_t *shape, int32_t rank, double value, int32_t dtype, int32_t device, int32_t index, CTTensorOut out) {
    return guarded([&] { give(out, at::full(ints(shape, rank), value, options(dtype, device, index))); });
}

int32_t ct_tensor_arange(double start, double end, double step, int32_t dtype, int32_t device, int32_t index, CTTensorOut out) {
    return guarded([&] { give(out, at::arange(start, end, step, options(dtype, device, index))); });
}

int32_t ct_tensor_copy_memory(const void *memory, size_t bytes, const intptr_t *shape, int32_t rank, int32_t dtype, CTTensorOut out) {
    return guarded([&] {
        auto result = at::empty(ints(shape, rank), options(dtype));
        TORCH_CHECK(result.nbytes() == bytes, "the shape needs ", result.nbytes(), " bytes, ", bytes, " were given");
        if (bytes > 0) std::memcpy(result.mutable_data_ptr(), memory, bytes);
        give(out, std::move(result));
    });
}

int32_t ct_tensor_wrap_memory(void *memory, const intptr_t *shape, const intptr_t *strides, int32_t rank, int32_t dtype,
                              void (*release)(void *), void *context, CTTensorOut out) {
    return guarded([&] {
        // Released when the last copy of the deleter goes, with the storage or with a failure: exactly once.
        const std::shared_ptr<void> owner(context, release);
        const std::function<void(void *)> deleter = [owner](void *) {};
        give(out, strides == nullptr
                      ? at::from_blob(memory, ints(shape, rank), deleter, options(dtype))
                      : at::from_blob(memory, ints(shape, rank), ints(strides, rank), deleter, options(dtype)));
    });
}

CTTensorRef ct_tensor_retain(CTTensorRef handle) {
    at::Tensor copy = tensor(handle);
    return reinterpret_cast<CTTensorRef>(copy.unsafeReleaseTensorImpl());
}

void ct_tensor_release(CTTensorRef handle) {
    c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim(reinterpret_cast<c10::TensorImpl *>(handle));
}

int32_t ct_tensor_rank(CTTensorRef a) { return static_cast<int32_t>(tensor(a).dim()); }
intptr_t ct_tensor_size(CTTensorRef a, int32_t dimension) { return tensor(a).sizes()[dimension]; }
intptr_t ct_tensor_stride(CTTensorRef a, int32_t dimension) { return tensor(a).strides()[dimension]; }
intptr_t ct_tensor_count(CTTensorRef a) { return tensor(a).numel(); }
int32_t ct_tensor_dtype(CTTensorRef a) { return static_cast<int32_t>(tensor(a).scalar_type()); }
int32_t ct_tensor_device(CTTensorRef a) { return static_cast<int32_t>(tensor(a).device().type()); }
int32_t ct_tensor_device_index(CTTensorRef a) { return tensor(a).device().has_index() ? tensor(a).device().index() : 0; }
bool ct_tensor_is_contiguous(CTTensorRef a) { return tensor(a).is_contiguous(); }
bool ct_tensor_requires_grad(CTTensorRef a) { return tensor(a).requires_grad(); }
bool ct_tensor_shares_storage(CTTensorRef a, CTTensorRef b) { return tensor(a).is_alias_of(tensor(b)); }
void *ct_tensor_data(CTTensorRef a) { return tensor(a).data_ptr(); }

int32_t ct_tensor_read(CTTensorRef a, void *memory, size_t bytes) {
    return guarded([&] {
        const auto host = tensor(a).detach().to(at::kCPU).contiguous();
        TORCH_CHECK(host.nbytes() == bytes, "the tensor has ", host.nbytes(), " bytes, room for ", bytes, " was given");
        if (bytes > 0) std::memcpy(memory, host.const_data_ptr(), bytes);
    });
}

int32_t ct_tensor_item(CTTensorRef a, double *out) {
    return guarded([&] { *out = tensor(a).item().toDouble(); });
}

int32_t ct_tensor_item_integer(CTTensorRef a, int64_t *out) {
    return guarded([&] { *out = tensor(a).item().toLong(); });
}

int32_t ct_tensor_to_dtype(CTTensorRef a, int32_t dtype, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).to(static_cast<at::ScalarType>(dtype))); });
}

int32_t ct_tensor_to_device(CTTensorRef a, int32_t device, int32_t index, bool non_blocking, CTTensorOut out) {
    return guarded([&] {
        const auto &x = tensor(a);
        const auto place = options(CT_FLOAT32, device, index).device();
        // A copy from pageable memory waits until the device has done all that is queued. One from page-locked memory is queued
        // itself, and LibTorch keeps that memory until it is done. It stays page-locked for the next one, so only small tensors
        // take this way: weights wait.
        constexpr size_t small = size_t(1) << 24;
        const bool recorded = x.requires_grad() && c10::GradMode::is_enabled();
        if (place.is_cuda() && x.is_cpu() && x.layout() == at::kStrided && x.numel() > 0 && x.nbytes() <= small && !recorded) {
            give(out, x.pin_memory().to(place, x.scalar_type(), true));
            return;
        }
        give(out, x.to(place, x.scalar_type(), non_blocking));
    });
}

int32_t ct_tensor_clone(CTTensorRef a, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).clone()); });
}

int32_t ct_tensor_contiguous(CTTensorRef a, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).contiguous()); });
}

int32_t ct_tensor_detach(CTTensorRef a, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).detach()); });
}

int32_t ct_tensor_copy_(CTTensorRef a, CTTensorRef source) {
    return guarded([&] { tensor(a).copy_(tensor(source)); });
}

int32_t ct_tensor_fill_(CTTensorRef a, double value) {
    return guarded([&] { tensor(a).fill_(scalar(tensor(a), value)); });
}

int32_t ct_tensor_equal(CTTensorRef a, CTTensorRef b, bool *out) {
    return guarded([&] { *out = at::equal(tensor(a), tensor(b)); });
}

}  // extern "C"
