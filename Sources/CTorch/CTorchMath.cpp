#include "Support.h"

#include <cstring>

#include <ATen/ATen.h>
#include <ATen/WrapDimUtils.h>

using namespace ctorch;

#define CT_UNARY(name, expression)                                      \
    int32_t name(CTTensorRef handle, CTTensorOut out) {                 \
        return guarded([&] {                                            \
            const at::Tensor &a = tensor(handle);                       \
            give(out, expression);                                      \
        });                                                             \
    }

#define CT_BINARY(name, expression)                                     \
    int32_t name(CTTensorRef first, CTTensorRef second, CTTensorOut out) { \
        return guarded([&] {                                            \
            const at::Tensor &a = tensor(first);                        \
            const at::Tensor &b = tensor(second);                       \
            give(out, expression);                                      \
        });                                                             \
    }

#define CT_SCALAR(name, expression)                                     \
    int32_t name(CTTensorRef handle, double value, CTTensorOut out) {   \
        return guarded([&] {                                            \
            const at::Tensor &a = tensor(handle);                       \
            const at::Scalar b = scalar(a, value);                      \
            give(out, expression);                                      \
        });                                                             \
    }

#define CT_REDUCTION(name, all, some)                                   \
    int32_t name(CTTensorRef handle, const intptr_t *dimensions, int32_t count, bool keep, CTTensorOut out) { \
        return guarded([&] {                                            \
            const at::Tensor &a = tensor(handle);                       \
            const auto dims = ints(dimensions, count);                  \
            give(out, count == 0 ? all : some);                         \
        });                                                             \
    }

extern "C" {

int32_t ct_reshape(CTTensorRef a, const intptr_t *shape, int32_t rank, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).reshape(ints(shape, rank))); });
}

int32_t ct_expand(CTTensorRef a, const intptr_t *shape, int32_t rank, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).expand(ints(shape, rank))); });
}

int32_t ct_permute(CTTensorRef a, const intptr_t *order, int32_t rank, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).permute(ints(order, rank))); });
}

int32_t ct_transpose(CTTensorRef a, intptr_t first, intptr_t second, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).transpose(first, second)); });
}

int32_t ct_unsqueeze(CTTensorRef a, intptr_t dimension, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).unsqueeze(dimension)); });
}

int32_t ct_squeeze(CTTensorRef a, intptr_t dimension, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).squeeze(dimension)); });
}

int32_t ct_flip(CTTensorRef a, intptr_t dimension, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).flip({static_cast<int64_t>(dimension)})); });
}

int32_t ct_narrow(CTTensorRef a, intptr_t dimension, intptr_t start, intptr_t length, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).narrow(dimension, start, length)); });
}

int32_t ct_split(CTTensorRef a, const intptr_t *sizes, int32_t count, intptr_t dimension, CTTensorOut out) {
    return guarded([&] {
        auto pieces = tensor(a).split_with_sizes(ints(sizes, count), dimension);
        for (int32_t i = 0; i < count; ++i) give(out + i, std::move(pieces[i]));
    });
}

int32_t ct_select(CTTensorRef a, intptr_t dimension, intptr_t index, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).select(dimension, index)); });
}

int32_t ct_cat(const CTTensorRef *tensors, int32_t count, intptr_t dimension, CTTensorOut out) {
    return guarded([&] { give(out, at::cat(list(tensors, count), dimension)); });
}

int32_t ct_stack(const CTTensorRef *tensors, int32_t count, intptr_t dimension, CTTensorOut out) {
    return guarded([&] { give(out, at::stack(list(tensors, count), dimension)); });
}

int32_t ct_index_select(CTTensorRef a, intptr_t dimension, CTTensorRef index, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).index_select(dimension, tensor(index))); });
}

int32_t ct_copy_rows(CTTensorRef a, const intptr_t *rows, intptr_t count, CTTensorOut out) {
    return guarded([&] {
        const at::Tensor &source = tensor(a);
        TORCH_CHECK(source.is_cpu() && source.is_contiguous() && source.dim() > 0, "rows are copied from contiguous memory of the CPU");
        auto shape = source.sizes().vec();
        const int64_t available = shape[0];
        shape[0] = count;
        at::Tensor result = at::empty(shape, source.options());
        const size_t size = available == 0 ? 0 : source.nbytes() / available;
        const auto *from = static_cast<const char *>(source.const_data_ptr());
        auto *to = static_cast<char *>(result.mutable_data_ptr());
        for (intptr_t i = 0; i < count; ++i) {
            TORCH_CHECK_INDEX(rows[i] >= 0 && rows[i] < available, "row ", rows[i], " of ", available);
            std::memcpy(to + i * size, from + rows[i] * size, size);
        }
        give(out, std::move(result));
    });
}

int32_t ct_index_select_into(CTTensorRef a, intptr_t dimension, CTTensorRef index, CTTensorRef destination) {
    return guarded([&] {
        const at::Tensor &source = tensor(a);
        at::Tensor out = tensor(destination);
        // LibTorch would give a tensor of another shape new memory.
        auto shape = source.sizes().vec();
        const auto wrapped = at::maybe_wrap_dim(dimension, source.dim());
        if (!shape.empty()) shape[wrapped] = tensor(index).numel();
        TORCH_CHECK(out.sizes() == at::IntArrayRef(shape), "the destination has shape ", out.sizes(), ", the selection ", at::IntArrayRef(shape));
        at::index_select_out(out, source, dimension, tensor(index));
    });
}

int32_t ct_gather(CTTensorRef a, intptr_t dimension, CTTensorRef index, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).gather(dimension, tensor(index))); });
}

int32_t ct_scatter(CTTensorRef a, intptr_t dimension, CTTensorRef index, CTTensorRef source, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).scatter(dimension, tensor(index), tensor(source))); });
}

int32_t ct_index_copy_(CTTensorRef a, intptr_t dimension, CTTensorRef index, CTTensorRef source) {
    return guarded([&] { tensor(a).index_copy_(dimension, tensor(index), tensor(source)); });
}

int32_t ct_index_add(CTTensorRef a, intptr_t dimension, CTTensorRef index, CTTensorRef source, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).index_add(dimension, tensor(index), tensor(source))); });
}

int32_t ct_where(CTTensorRef condition, CTTensorRef a, CTTensorRef b, CTTensorOut out) {
    return guarded([&] { give(out, at::where(tensor(condition), tensor(a), tensor(b))); });
}

int32_t ct_masked_fill(CTTensorRef a, CTTensorRef mask, double value, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).masked_fill(tensor(mask), scalar(tensor(a), value))); });
}

int32_t ct_sort(CTTensorRef a, intptr_t dimension, bool descending, CTTensorOut values, CTTensorOut indices) {
    return guarded([&] {
        auto [sorted, positions] = tensor(a).sort(dimension, descending);
        give(values, sorted);
        give(indices, positions);
    });
}

int32_t ct_top_k(CTTensorRef a, intptr_t k, intptr_t dimension, CTTensorOut values, CTTensorOut indices) {
    return guarded([&] {
        auto [top, positions] = tensor(a).topk(k, dimension);
        give(values, top);
        give(indices, positions);
    });
}

int32_t ct_symmetric_eigen(CTTensorRef a, CTTensorOut values, CTTensorOut vectors) {
    return guarded([&] {
        auto [eigenvalues, eigenvectors] = at::linalg_eigh(tensor(a), "L");
        give(values, eigenvalues);
        give(vectors, eigenvectors);
    });
}

CT_BINARY(ct_add, at::add(a, b))
CT_BINARY(ct_sub, at::sub(a, b))
CT_BINARY(ct_mul, at::mul(a, b))
CT_BINARY(ct_div, at::div(a, b))
CT_BINARY(ct_maximum, at::maximum(a, b))
CT_BINARY(ct_minimum, at::minimum(a, b))
CT_BINARY(ct_logical_and, at::logical_and(a, b))
CT_BINARY(ct_matmul, at::matmul(a, b))
CT_SCALAR(ct_add_scalar, at::add(a, b))
CT_SCALAR(ct_mul_scalar, at::mul(a, b))
CT_SCALAR(ct_div_scalar, at::div(a, b))
CT_SCALAR(ct_pow_scalar, at::pow(a, b))
CT_UNARY(ct_neg, at::neg(a))
CT_UNARY(ct_abs, at::abs(a))
CT_UNARY(ct_exp, at::exp(a))
CT_UNARY(ct_log, at::log(a))
CT_UNARY(ct_sqrt, at::sqrt(a))
CT_UNARY(ct_sin, at::sin(a))
CT_UNARY(ct_cos, at::cos(a))
CT_UNARY(ct_tanh, at::tanh(a))
CT_UNARY(ct_is_finite, at::isfinite(a))
CT_UNARY(ct_logical_not, at::logical_not(a))
CT_UNARY(ct_all, at::all(a))
CT_UNARY(ct_norm, at::linalg_vector_norm(a))
CT_REDUCTION(ct_sum, at::sum(a), at::sum(a, dims, keep))
CT_REDUCTION(ct_mean, at::mean(a), at::mean(a, dims, keep))
CT_REDUCTION(ct_amax, at::amax(a), at::amax(a, dims, keep))

int32_t ct_clamp(CTTensorRef a, double minimum, double maximum, CTTensorOut out) {
    return guarded([&] { give(out, at::clamp(tensor(a), scalar(tensor(a), minimum), scalar(tensor(a), maximum))); });
}

int32_t ct_add_(CTTensorRef a, CTTensorRef b, double scale) {
    return guarded([&] { tensor(a).add_(tensor(b), scalar(tensor(a), scale)); });
}

int32_t ct_mul_scalar_(CTTensorRef a, double b) {
    return guarded([&] { tensor(a).mul_(scalar(tensor(a), b)); });
}

int32_t ct_compare(CTTensorRef a, CTTensorRef b, int32_t relation, CTTensorOut out) {
    return guarded([&] {
        const at::Tensor &x = tensor(a), &y = tensor(b);
        switch (relation) {
            case 0: give(out, x.eq(y)); break;
            case 1: give(out, x.ne(y)); break;
            case 2: give(out, x.lt(y)); break;
            case 3: give(out, x.le(y)); break;
            case 4: give(out, x.gt(y)); break;
            default: give(out, x.ge(y)); break;
        }
    });
}

int32_t ct_compare_scalar(CTTensorRef a, double b, int32_t relation, CTTensorOut out) {
    return guarded([&] {
        const at::Tensor &x = tensor(a);
        const at::Scalar y = scalar(x, b);
        switch (relation) {
            case 0: give(out, x.eq(y)); break;
            case 1: give(out, x.ne(y)); break;
            case 2: give(out, x.lt(y)); break;
            case 3: give(out, x.le(y)); break;
            case 4: give(out, x.gt(y)); break;
            default: give(out, x.ge(y)); break;
        }
    });
}

int32_t ct_argmax(CTTensorRef a, intptr_t dimension, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).argmax(dimension)); });
}

int32_t ct_cumsum(CTTensorRef a, intptr_t dimension, CTTensorOut out) {
    return guarded([&] { give(out, tensor(a).cumsum(dimension)); });
}

int32_t ct_baddbmm(CTTensorRef addend, CTTensorRef a, CTTensorRef b, double beta, double alpha, CTTensorOut out) {
    return guarded([&] { give(out, at::baddbmm(tensor(addend), tensor(a), tensor(b), beta, alpha)); });
}

}  // extern "C"
