#include "Support.h"

#include <ATen/ATen.h>

using namespace ctorch;

extern "C" {

int32_t ct_linear(CTTensorRef input, CTTensorRef weight, CTTensorRef bias, CTTensorOut out) {
    return guarded([&] { give(out, at::linear(tensor(input), tensor(weight), optional(bias))); });
}

int32_t ct_conv2d(CTTensorRef input, CTTensorRef weight, CTTensorRef bias, intptr_t stride, intptr_t padding, CTTensorOut out) {
    return guarded([&] {
        const int64_t step = stride, border = padding;
        give(out, at::conv2d(tensor(input), tensor(weight), optional(bias), {step, step}, at::IntArrayRef({border, border})));
    });
}

int32_t ct_sigmoid(CTTensorRef a, CTTensorOut out) {
    return guarded([&] { give(out, at::sigmoid(tensor(a))); });
}

int32_t ct_silu(CTTensorRef a, CTTensorOut out) {
    return guarded([&] { give(out, at::silu(tensor(a))); });
}

int32_t ct_relu(CTTensorRef a, CTTensorOut out) {
    return guarded([&] { give(out, at::relu(tensor(a))); });
}

int32_t ct_gelu(CTTensorRef a, bool tanh_approximation, CTTensorOut out) {
    return guarded([&] { give(out, at::gelu(tensor(a), tanh_approximation ? "tanh" : "none")); });
}

int32_t ct_softmax(CTTensorRef a, intptr_t dimension, CTTensorOut out) {
    return guarded([&] { give(out, at::softmax(tensor(a), dimension)); });
}

int32_t ct_log_softmax(CTTensorRef a, intptr_t dimension, CTTensorOut out) {
    return guarded([&] { give(out, at::log_softmax(tensor(a), dimension)); });
}

int32_t ct_layer_norm(CTTensorRef a, CTTensorRef weight, CTTensorRef bias, intptr_t width, double epsilon, CTTensorOut out) {
    return guarded([&] {
        const int64_t shape = width;
        give(out, at::layer_norm(tensor(a), at::IntArrayRef(&shape, 1), optional(weight), optional(bias), epsilon));
    });
}

int32_t ct_embedding(CTTensorRef weight, CTTensorRef indices, CTTensorOut out) {
    return guarded([&] { give(out, at::embedding(tensor(weight), tensor(indices))); });
}

int32_t ct_attention(CTTensorRef query, CTTensorRef key, CTTensorRef value, CTTensorRef mask, bool causal, double scale, bool grouped, CTTensorOut out) {
    return guarded([&] {
        give(out, at::scaled_dot_product_attention(tensor(query), tensor(key), tensor(value), optional(mask), 0.0, causal, scale, grouped));
    });
}

int32_t ct_cross_entropy(CTTensorRef logits, CTTensorRef targets, intptr_t ignored, int32_t reduction, double smoothing, CTTensorOut out) {
    return guarded([&] { give(out, at::cross_entropy_loss(tensor(logits), tensor(targets), {}, reduction, ignored, smoothing)); });
}

int32_t ct_binary_cross_entropy(CTTensorRef logits, CTTensorRef targets, CTTensorRef weight, CTTensorRef positive_weight, int32_t reduction, CTTensorOut out) {
    return guarded([&] {
        give(out, at::binary_cross_entropy_with_logits(tensor(logits), tensor(targets), optional(weight), optional(positive_weight), reduction));
    });
}

int32_t ct_bicubic(CTTensorRef a, intptr_t height, intptr_t width, CTTensorOut out) {
    return guarded([&] { give(out, at::upsample_bicubic2d(tensor(a), at::IntArrayRef({static_cast<int64_t>(height), static_cast<int64_t>(width)}), false)); });
}

int32_t ct_grid_sample(CTTensorRef a, CTTensorRef grid, int32_t mode, int32_t padding, CTTensorOut out) {
    return guarded([&] { give(out, at::grid_sampler(tensor(a), tensor(grid), mode, padding, false)); });
}

int32_t ct_affine_grid(CTTensorRef theta, intptr_t batch, intptr_t channels, intptr_t height, intptr_t width, CTTensorOut out) {
    return guarded([&] {
        give(out, at::affine_grid_generator(tensor(theta), at::IntArrayRef({static_cast<int64_t>(batch), static_cast<int64_t>(channels), static_cast<int64_t>(height), static_cast<int64_t>(width)}), false));
    });
}

}  // extern "C"
