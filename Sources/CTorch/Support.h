// Shared by the C++ files of this target: the way from C handles to LibTorch tensors and back, and the one place where
// exceptions end.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include "include/CTorch.h"

namespace ctorch {

// A handle is the tensor's TensorImpl pointer with one reference owned; an at::Tensor is exactly such a pointer.
static_assert(sizeof(at::Tensor) == sizeof(CTTensorRef));

inline const at::Tensor &tensor(const CTTensorRef &handle) { return reinterpret_cast<const at::Tensor &>(handle); }

inline std::optional<at::Tensor> optional(const CTTensorRef &handle) {
    return handle == nullptr ? std::nullopt : std::optional<at::Tensor>(tensor(handle));
}

inline void give(CTTensorOut out, at::Tensor value) {
    *out = reinterpret_cast<CTTensorRef>(value.unsafeReleaseTensorImpl());
}

inline std::vector<at::Tensor> list(const CTTensorRef *handles, int32_t count) {
    std::vector<at::Tensor> tensors;
    tensors.reserve(count);
    for (int32_t i = 0; i < count; ++i) tensors.push_back(tensor(handles[i]));
    return tensors;
}

/// Where a contiguous tensor's elements lie. LibTorch's own template of this has a name that newer clangs write differently from
/// the compiler of its builds, so that 2.11 could not be linked.
template <class T>
inline const T *elements(const at::Tensor &x) {
    TORCH_CHECK(x.scalar_type() == c10::CppTypeToScalarType<T>::value, "expected elements of another type than ", x.scalar_type());
    return static_cast<const T *>(x.const_data_ptr());
}

/// Whether the kernels of this target take a tensor.
inline bool hasKernel(const at::Tensor &x) { return x.is_cpu() && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat); }

inline at::IntArrayRef ints(const intptr_t *values, int32_t count) {
    static_assert(sizeof(intptr_t) == sizeof(int64_t));
    return at::IntArrayRef(reinterpret_cast<const int64_t *>(values), count);
}

// An integral value for an integral tensor stays integral, so that the tensor keeps its dtype.
inline at::Scalar scalar(const at::Tensor &other, double value) {
    const bool integral = at::isIntegralType(other.scalar_type(), true) && value == static_cast<double>(static_cast<int64_t>(value));
    return integral ? at::Scalar(static_cast<int64_t>(value)) : at::Scalar(value);
}

/// Turns the exception in flight into a status and keeps its message for ct_last_error().
int32_t caught() noexcept;

template <class Body>
inline int32_t guarded(Body &&body) noexcept {
    try {
        body();
        return CT_OK;
    } catch (...) {
        return caught();
    }
}

}  // namespace ctorch
