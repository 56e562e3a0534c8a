// The plain C interface to LibTorch: only the operations that the project uses, and no LibTorch type.
//
// - Every function that can fail returns a status: 0 is success; otherwise the out-parameters are untouched and
//   ct_last_error() gives the message of this thread's last failure.
// - A tensor handle owns one reference to a LibTorch tensor. Handles written to out-parameters belong to the caller,
//   who ends them with ct_tensor_release. Handles passed in are borrowed for the duration of the call.
// - Shapes, strides and indexes are intptr_t, which Swift sees as Int.
#ifndef CTORCH_H
#define CTORCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma clang assume_nonnull begin

typedef struct CTTensor *CTTensorRef;
typedef struct CTGenerator *CTGeneratorRef;
typedef CTTensorRef _Nullable *CTTensorOut;

enum {
    CT_OK = 0,
    CT_ERROR = 1,          // LibTorch refused: wrong shapes, dtypes, devices, …
    CT_OUT_OF_MEMORY = 2,  // the device or the host has no memory left
    CT_UNKNOWN_ERROR = 3,  // something that is not a std::exception
};

// Element types, numbered as LibTorch numbers them (asserted in CTorchTensor.cpp).
enum {
    CT_UINT8 = 0, CT_INT8 = 1, CT_INT16 = 2, CT_INT32 = 3, CT_INT64 = 4, CT_FLOAT16 = 5, CT_FLOAT32 = 6, CT_FLOAT64 = 7,
    CT_BOOL = 11, CT_BFLOAT16 = 15,
};

// Device kinds, numbered as LibTorch numbers them.
enum { CT_CPU = 0, CT_CUDA = 1, CT_META = 14 };

/// The message of this thread's last failure; valid until the next failing call of the thread.
const char *ct_last_error(void);
/// The version of the LibTorch in use, for example "2.13.0".
const char *ct_version(void);

// MARK: Creation and ownership

int32_t ct_tensor_empty(const intptr_t *_Nullable shape, int32_t rank, int32_t dtype, int32_t device, int32_t index, CTTensorOut _Nonnull out);
int32_t ct_tensor_full(const intptr_t *_Nullable shape, int32_t rank, double value, int32_t dtype, int32_t device, int32_t index, CTTensorOut _Nonnull out);
int32_t ct_tensor_arange(double start, double end, double step, int32_t dtype, int32_t device, int32_t index, CTTensorOut _Nonnull out);
/// Copies `bytes` bytes of host memory into a new contiguous tensor on the CPU.
int32_t ct_tensor_copy_memory(const void *_Nullable memory, size_t bytes, const intptr_t *_Nullable shape, int32_t rank, int32_t dtype, CTTensorOut _Nonnull out);
/// Wraps host memory without copying. `release(context)` is called once the tensor's storage ends, also when the call fails.
int32_t ct_tensor_wrap_memory(void *memory, const intptr_t *_Nullable shape, const intptr_t *_Nullable strides, int32_t rank, int32_t dtype,
                              void (*release)(void *_Nullable), void *_Nullable context, CTTensorOut _Nonnull out);
/// One more owning handle to the same tensor.
CTTensorRef ct_tensor_retain(CTTensorRef _Nonnull tensor);
void ct_tensor_release(CTTensorRef _Nonnull tensor);

// MARK: Inspection (these cannot fail)

int32_t ct_tensor_rank(CTTensorRef _Nonnull tensor);
intptr_t ct_tensor_size(CTTensorRef _Nonnull tensor, int32_t dimension);
intptr_t ct_tensor_stride(CTTensorRef _Nonnull tensor, int32_t dimension);
intptr_t ct_tensor_count(CTTensorRef _Nonnull tensor);
int32_t ct_tensor_dtype(CTTensorRef _Nonnull tensor);
int32_t ct_tensor_device(CTTensorRef _Nonnull tensor);
int32_t ct_tensor_device_index(CTTensorRef _Nonnull tensor);
bool ct_tensor_is_contiguous(CTTensorRef _Nonnull tensor);
bool ct_tensor_requires_grad(CTTensorRef _Nonnull tensor);
/// Whether two handles name the same storage.
bool ct_tensor_shares_storage(CTTensorRef _Nonnull a, CTTensorRef _Nonnull b);
/// The address of the first element; on a device other than the CPU it must not be read.
void *_Nullable ct_tensor_data(CTTensorRef _Nonnull tensor);

// MARK: Reading and moving

/// Copies the elements, in row-major order, into `bytes` bytes of host memory.
int32_t ct_tensor_read(CTTensorRef _Nonnull tensor, void *memory, size_t bytes);
int32_t ct_tensor_item(CTTensorRef _Nonnull tensor, double *out);
int32_t ct_tensor_item_integer(CTTensorRef _Nonnull tensor, int64_t *out);
int32_t ct_tensor_to_dtype(CTTensorRef _Nonnull tensor, int32_t dtype, CTTensorOut _Nonnull out);
/// What is as small as a batch goes from the CPU to CUDA by way of page-locked memory, so that the host does not wait for the
/// work that is queued there.
int32_t ct_tensor_to_device(CTTensorRef _Nonnull tensor, int32_t device, int32_t index, bool non_blocking, CTTensorOut _Nonnull out);
int32_t ct_tensor_clone(CTTensorRef _Nonnull tensor, CTTensorOut _Nonnull out);
int32_t ct_tensor_contiguous(CTTensorRef _Nonnull tensor, CTTensorOut _Nonnull out);
int32_t ct_tensor_detach(CTTensorRef _Nonnull tensor, CTTensorOut _Nonnull out);
int32_t ct_tensor_copy_(CTTensorRef _Nonnull tensor, CTTensorRef _Nonnull source);
int32_t ct_tensor_fill_(CTTensorRef _Nonnull tensor, double value);
int32_t ct_tensor_equal(CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, bool *out);

// MARK: Shape

int32_t ct_reshape(CTTensorRef _Nonnull a, const intptr_t *_Nullable shape, int32_t rank, CTTensorOut _Nonnull out);
int32_t ct_expand(CTTensorRef _Nonnull a, const intptr_t *_Nullable shape, int32_t rank, CTTensorOut _Nonnull out);
int32_t ct_permute(CTTensorRef _Nonnull a, const intptr_t *_Nullable order, int32_t rank, CTTensorOut _Nonnull out);
int32_t ct_transpose(CTTensorRef _Nonnull a, intptr_t first, intptr_t second, CTTensorOut _Nonnull out);
int32_t ct_unsqueeze(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorOut _Nonnull out);
int32_t ct_squeeze(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorOut _Nonnull out);
int32_t ct_flip(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorOut _Nonnull out);
int32_t ct_narrow(CTTensorRef _Nonnull a, intptr_t dimension, intptr_t start, intptr_t length, CTTensorOut _Nonnull out);
/// Writes `count` handles: consecutive pieces of one dimension.
int32_t ct_split(CTTensorRef _Nonnull a, const intptr_t *sizes, int32_t count, intptr_t dimension, CTTensorOut _Nonnull out);
int32_t ct_select(CTTensorRef _Nonnull a, intptr_t dimension, intptr_t index, CTTensorOut _Nonnull out);
int32_t ct_cat(const CTTensorRef _Nonnull *_Nonnull tensors, int32_t count, intptr_t dimension, CTTensorOut _Nonnull out);
int32_t ct_stack(const CTTensorRef _Nonnull *_Nonnull tensors, int32_t count, intptr_t dimension, CTTensorOut _Nonnull out);

// MARK: Indexing

int32_t ct_index_select(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorRef _Nonnull index, CTTensorOut _Nonnull out);
/// Copies rows of contiguous memory of the CPU, by the calling thread alone.
int32_t ct_copy_rows(CTTensorRef _Nonnull a, const intptr_t *_Nullable rows, intptr_t count, CTTensorOut _Nonnull out);
/// As `ct_index_select`, into a tensor of the result's shape, which keeps its memory.
int32_t ct_index_select_into(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorRef _Nonnull index, CTTensorRef _Nonnull destination);
int32_t ct_gather(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorRef _Nonnull index, CTTensorOut _Nonnull out);
/// `a` with the elements of `source` at the positions of one dimension that `index` (same rank) names.
int32_t ct_scatter(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorRef _Nonnull index, CTTensorRef _Nonnull source, CTTensorOut _Nonnull out);
int32_t ct_index_copy_(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorRef _Nonnull index, CTTensorRef _Nonnull source);
int32_t ct_index_add(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorRef _Nonnull index, CTTensorRef _Nonnull source, CTTensorOut _Nonnull out);
/// Row i of the result is row index[i] of `a`, or zeros where index[i] is negative. No row of `a` is taken twice: `inverse`
/// (one entry per row of `a`, negative where it is not taken) says where it went, and the gradient goes back the same way.
int32_t ct_place_rows(CTTensorRef _Nonnull a, CTTensorRef _Nonnull index, CTTensorRef _Nonnull inverse, CTTensorOut _Nonnull out);
int32_t ct_where(CTTensorRef _Nonnull condition, CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, CTTensorOut _Nonnull out);
int32_t ct_masked_fill(CTTensorRef _Nonnull a, CTTensorRef _Nonnull mask, double value, CTTensorOut _Nonnull out);
int32_t ct_sort(CTTensorRef _Nonnull a, intptr_t dimension, bool descending, CTTensorOut _Nonnull values, CTTensorOut _Nonnull indices);
int32_t ct_top_k(CTTensorRef _Nonnull a, intptr_t k, intptr_t dimension, CTTensorOut _Nonnull values, CTTensorOut _Nonnull indices);
/// Eigenvalues (ascending) and eigenvectors (columns) of a symmetric matrix, of which the lower half is read.
int32_t ct_symmetric_eigen(CTTensorRef _Nonnull a, CTTensorOut _Nonnull values, CTTensorOut _Nonnull vectors);

// MARK: Arithmetic (b is broadcast to a and the other way round)

int32_t ct_add(CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, CTTensorOut _Nonnull out);
int32_t ct_sub(CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, CTTensorOut _Nonnull out);
int32_t ct_mul(CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, CTTensorOut _Nonnull out);
int32_t ct_div(CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, CTTensorOut _Nonnull out);
int32_t ct_maximum(CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, CTTensorOut _Nonnull out);
int32_t ct_minimum(CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, CTTensorOut _Nonnull out);
int32_t ct_add_scalar(CTTensorRef _Nonnull a, double b, CTTensorOut _Nonnull out);
int32_t ct_mul_scalar(CTTensorRef _Nonnull a, double b, CTTensorOut _Nonnull out);
int32_t ct_div_scalar(CTTensorRef _Nonnull a, double b, CTTensorOut _Nonnull out);
int32_t ct_pow_scalar(CTTensorRef _Nonnull a, double exponent, CTTensorOut _Nonnull out);
int32_t ct_clamp(CTTensorRef _Nonnull a, double minimum, double maximum, CTTensorOut _Nonnull out);
int32_t ct_add_(CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, double scale);
int32_t ct_mul_scalar_(CTTensorRef _Nonnull a, double b);
int32_t ct_neg(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_abs(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_exp(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_log(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_sqrt(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_sin(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_cos(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_tanh(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_is_finite(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
/// 0 equal, 1 not equal, 2 less, 3 less or equal, 4 greater, 5 greater or equal.
int32_t ct_compare(CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, int32_t relation, CTTensorOut _Nonnull out);
int32_t ct_compare_scalar(CTTensorRef _Nonnull a, double b, int32_t relation, CTTensorOut _Nonnull out);
int32_t ct_logical_and(CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, CTTensorOut _Nonnull out);
int32_t ct_logical_not(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);

// MARK: Reduction (no dimensions means all)

int32_t ct_sum(CTTensorRef _Nonnull a, const intptr_t *_Nullable dimensions, int32_t count, bool keep, CTTensorOut _Nonnull out);
int32_t ct_mean(CTTensorRef _Nonnull a, const intptr_t *_Nullable dimensions, int32_t count, bool keep, CTTensorOut _Nonnull out);
int32_t ct_amax(CTTensorRef _Nonnull a, const intptr_t *_Nullable dimensions, int32_t count, bool keep, CTTensorOut _Nonnull out);
int32_t ct_argmax(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorOut _Nonnull out);
int32_t ct_all(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_cumsum(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorOut _Nonnull out);
int32_t ct_norm(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);

// MARK: Products

int32_t ct_matmul(CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, CTTensorOut _Nonnull out);
int32_t ct_baddbmm(CTTensorRef _Nonnull addend, CTTensorRef _Nonnull a, CTTensorRef _Nonnull b, double beta, double alpha, CTTensorOut _Nonnull out);
int32_t ct_linear(CTTensorRef _Nonnull input, CTTensorRef _Nonnull weight, CTTensorRef _Nullable bias, CTTensorOut _Nonnull out);
/// Consecutive groups of rows of `a` ([rows, in]), each through its own weight ([count, out, in]) and bias ([count, out]).
int32_t ct_grouped_linear(CTTensorRef _Nonnull a, CTTensorRef _Nonnull weight, CTTensorRef _Nonnull bias, const intptr_t *sizes, int32_t count, CTTensorOut _Nonnull out);
int32_t ct_conv2d(CTTensorRef _Nonnull input, CTTensorRef _Nonnull weight, CTTensorRef _Nullable bias, intptr_t stride, intptr_t padding, CTTensorOut _Nonnull out);

// MARK: Neural-network functions

int32_t ct_sigmoid(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_silu(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_relu(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_gelu(CTTensorRef _Nonnull a, bool tanh_approximation, CTTensorOut _Nonnull out);
int32_t ct_softmax(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorOut _Nonnull out);
int32_t ct_log_softmax(CTTensorRef _Nonnull a, intptr_t dimension, CTTensorOut _Nonnull out);
int32_t ct_layer_norm(CTTensorRef _Nonnull a, CTTensorRef _Nullable weight, CTTensorRef _Nullable bias, intptr_t width, double epsilon, CTTensorOut _Nonnull out);
int32_t ct_rms_norm(CTTensorRef _Nonnull a, CTTensorRef _Nullable weight, intptr_t width, double epsilon, CTTensorOut _Nonnull out);
/// Rotates the first `rotated` heads of `a` [tokens, heads, width] by `cosines` and signed `sines` [tokens, 1, width]; copies the others.
int32_t ct_rotate(CTTensorRef _Nonnull a, CTTensorRef _Nonnull cosines, CTTensorRef _Nonnull sines, intptr_t rotated, CTTensorOut _Nonnull out);
/// silu(gate) · up, where the first half of the last dimension is the gate.
int32_t ct_gated_unit(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
/// Attention of each sequence to itself: `fused` [tokens, heads + 2 key_heads, width] holds queries, keys and values of sequences of
/// these lengths one after the other, and tokens of none. With `causal` a query sees the last `window` keys up to its own place,
/// otherwise all. CPU, float32 or bfloat16. The result is [tokens, heads * width], 0 for tokens of no sequence.
int32_t ct_self_attention(CTTensorRef _Nonnull fused, const intptr_t *_Nonnull lengths, int32_t length_count, intptr_t heads, intptr_t key_heads,
                          double scale, bool causal, intptr_t window, CTTensorOut _Nonnull out);
int32_t ct_embedding(CTTensorRef _Nonnull weight, CTTensorRef _Nonnull indices, CTTensorOut _Nonnull out);
int32_t ct_attention(CTTensorRef _Nonnull query, CTTensorRef _Nonnull key, CTTensorRef _Nonnull value, CTTensorRef _Nullable mask, bool causal, double scale, bool grouped, CTTensorOut _Nonnull out);
/// reduction: 0 none, 1 mean, 2 sum.
int32_t ct_cross_entropy(CTTensorRef _Nonnull logits, CTTensorRef _Nonnull targets, intptr_t ignored, int32_t reduction, double smoothing, CTTensorOut _Nonnull out);
int32_t ct_binary_cross_entropy(CTTensorRef _Nonnull logits, CTTensorRef _Nonnull targets, CTTensorRef _Nullable weight, CTTensorRef _Nullable positive_weight, int32_t reduction, CTTensorOut _Nonnull out);
int32_t ct_dropout(CTTensorRef _Nonnull a, double probability, CTTensorOut _Nonnull out);
int32_t ct_bicubic(CTTensorRef _Nonnull a, intptr_t height, intptr_t width, CTTensorOut _Nonnull out);
/// mode: 0 bilinear, 1 nearest; padding: 0 zeros, 1 border, 2 reflection.
int32_t ct_grid_sample(CTTensorRef _Nonnull a, CTTensorRef _Nonnull grid, int32_t mode, int32_t padding, CTTensorOut _Nonnull out);
int32_t ct_affine_grid(CTTensorRef _Nonnull theta, intptr_t batch, intptr_t channels, intptr_t height, intptr_t width, CTTensorOut _Nonnull out);

// MARK: Autograd

/// Switches gradient recording of this thread on or off and returns what it was.
bool ct_set_gradient_recording(bool enabled);
bool ct_gradient_recording(void);
int32_t ct_requires_grad_(CTTensorRef _Nonnull a, bool required);
int32_t ct_backward(CTTensorRef _Nonnull a, CTTensorRef _Nullable gradient, bool retain_graph);
/// Writes NULL when there is no gradient.
int32_t ct_gradient(CTTensorRef _Nonnull a, CTTensorOut _Nonnull out);
int32_t ct_set_gradient(CTTensorRef _Nonnull a, CTTensorRef _Nullable gradient);
/// Writes `input_count` handles, NULL for inputs the outputs do not depend on.
int32_t ct_gradients(const CTTensorRef _Nonnull *_Nonnull outputs, int32_t output_count, const CTTensorRef _Nonnull *_Nonnull inputs, int32_t input_count,
                     bool retain_graph, CTTensorOut _Nonnull out);
/// A function of tensors: writes one owning handle, or a status other than CT_OK and a message that ends with a zero byte.
typedef int32_t (*CTFunction)(void *context, const CTTensorRef _Nonnull *_Nonnull inputs, int32_t input_count, CTTensorOut _Nonnull output,
                              char *message, size_t capacity);
/// Runs a function without recording it for gradients and keeps its inputs alone. The backward pass runs it again, recorded and
/// with the default generators where they were, perhaps on another thread while the one that called ct_backward waits; its
/// failure there is the failure of ct_backward. `release(context)` is called once the record ends, also when the call fails.
int32_t ct_checkpoint(const CTTensorRef _Nonnull *_Nonnull inputs, int32_t input_count, CTFunction function, void (*release)(void *_Nullable),
                      void *context, CTTensorOut _Nonnull out);

// MARK: Optimizer kernels

/// LibTorch's fused AdamW over lists of equal length; `steps` are float32 scalars that count the updates.
int32_t ct_fused_adamw(const CTTensorRef _Nonnull *_Nonnull parameters, const CTTensorRef _Nonnull *_Nonnull gradients,
                       const CTTensorRef _Nonnull *_Nonnull first_moments, const CTTensorRef _Nonnull *_Nonnull second_moments,
                       const CTTensorRef _Nonnull *_Nonnull steps, int32_t count, double rate, double beta1, double beta2,
                       double decay, double epsilon);
/// The same for float32 parameters with moments in bfloat16, which are rounded at random with the default generator so that
/// their mean is exact. On the CPU one pass over memory, elsewhere (or where asked for) LibTorch's own operations.
int32_t ct_narrow_adamw(const CTTensorRef _Nonnull *_Nonnull parameters, const CTTensorRef _Nonnull *_Nonnull gradients,
                        const CTTensorRef _Nonnull *_Nonnull first_moments, const CTTensorRef _Nonnull *_Nonnull second_moments,
                        const CTTensorRef _Nonnull *_Nonnull steps, int32_t count, double rate, double beta1, double beta2,
                        double decay, double epsilon, bool by_operations);
/// The Euclidean norm over all elements of all tensors, as a float32 scalar on the first tensor's device.
int32_t ct_total_norm(const CTTensorRef _Nonnull *_Nonnull tensors, int32_t count, CTTensorOut _Nonnull out);
/// Multiplies every tensor in place by the scalar tensor `factor`.
int32_t ct_scale_all_(const CTTensorRef _Nonnull *_Nonnull tensors, int32_t count, CTTensorRef _Nonnull factor);

// MARK: Random numbers

int32_t ct_generator_create(uint64_t seed, int32_t device, int32_t index, CTGeneratorRef _Nullable *_Nonnull out);
void ct_generator_release(CTGeneratorRef generator);
/// NULL means the default generator of the CPU.
int32_t ct_generator_seed(CTGeneratorRef _Nullable generator, uint64_t seed);
int32_t ct_generator_state(CTGeneratorRef _Nullable generator, CTTensorOut _Nonnull out);
int32_t ct_generator_set_state(CTGeneratorRef _Nullable generator, CTTensorRef _Nonnull state);
/// Seeds the default generators of all devices.
int32_t ct_manual_seed(uint64_t seed);
int32_t ct_normal_(CTTensorRef _Nonnull a, double mean, double deviation, CTGeneratorRef _Nullable generator);
int32_t ct_uniform_(CTTensorRef _Nonnull a, double low, double high, CTGeneratorRef _Nullable generator);
int32_t ct_multinomial(CTTensorRef _Nonnull probabilities, intptr_t count, CTGeneratorRef _Nullable generator, CTTensorOut _Nonnull out);

// MARK: Devices and threads

bool ct_cuda_available(void);
int32_t ct_cuda_count(void);
int32_t ct_synchronize(int32_t device, int32_t index);
/// Bytes in use now, at the peak, reserved by the allocator, and reserved at the peak.
int32_t ct_device_memory(int32_t device, int32_t index, int64_t *current, int64_t *peak, int64_t *reserved, int64_t *peak_reserved);
/// Lets the peaks start anew from what is in use and reserved now.
int32_t ct_reset_peak_memory(int32_t device, int32_t index);
/// Whether float32 products on CUDA may use TensorFloat-32, which keeps 10 bits of mantissa. Off at first, for products; on for
/// convolutions.
void ct_set_tf32(bool allowed);
bool ct_tf32(void);
int32_t ct_empty_cache(void);
int32_t ct_thread_count(void);
int32_t ct_set_thread_count(int32_t count);

// MARK: For tests of this interface

/// Fails with: 0 a c10::Error, 1 a std::exception, 2 something else, 3 out of memory.
int32_t ct_fail_for_test(int32_t kind);

#pragma clang assume_nonnull end

#ifdef __cplusplus
}
#endif

#endif
