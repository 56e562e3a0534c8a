// What loops over elements on the CPU share: several instruction sets for one body, and bfloat16 as it lies in memory.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

// One body, compiled for several instruction sets and chosen when the program starts; sanitizers are not ready yet at that time.
#if defined(__x86_64__) && defined(__linux__) && !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#define CT_VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CT_VECTORIZED
#endif
#define CT_INLINE static inline __attribute__((always_inline))

namespace ctorch {

/// A bfloat16 as it lies in memory.
struct Brain {
    uint16_t bits;
};

CT_INLINE float wide(float value) { return value; }
CT_INLINE float wide(Brain value) { return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16); }

CT_INLINE void store(float &to, float value) { to = value; }

/// Rounds to the nearest, ties to even, as LibTorch does; NaN stays NaN.
CT_INLINE void store(Brain &to, float value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    to.bits = static_cast<uint16_t>((bits & 0x7fffffffU) > 0x7f800000U ? 0x7fc0U : rounded);
}

// Functions with vectors are inlined into the bodies, whatever these are compiled for: none is called.
#pragma clang diagnostic ignored "-Wpsabi"

/// Sixteen numbers, worked on at once.
using Floats = float __attribute__((ext_vector_type(16)));
using Words = uint32_t __attribute__((ext_vector_type(16)));
using Halves = uint16_t __attribute__((ext_vector_type(16)));

constexpr int64_t lanes = 16;
constexpr Words places = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

CT_INLINE Floats block(const float *from) {
    Floats values;
    std::memcpy(&values, from, sizeof(values));
    return values;
}

CT_INLINE Floats block(const Brain *from) {
    Halves bits;
    std::memcpy(&bits, from, sizeof(bits));
    return __builtin_bit_cast(Floats, __builtin_convertvector(bits, Words) << 16);
}

CT_INLINE void storeBlock(float *to, Floats values) { std::memcpy(to, &values, sizeof(values)); }
CT_INLINE void storeBlock(Brain *to, Floats values) {
    const Words bits = __builtin_bit_cast(Words, values), quiet = 0x7fc0U;
    const Words rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    const Halves narrow = __builtin_convertvector((bits & 0x7fffffffU) > Words(0x7f800000U) ? quiet : rounded, Halves);
    std::memcpy(to, &narrow, sizeof(narrow));
}

/// e to the x within two units of the last place of a float32, of one number or of sixteen, in operations that become vector
/// instructions.
template <class F, class U>
CT_INLINE F exponential(F x) {
    // Adding 1.5 * 2^23 leaves the nearest integer in the last bits.
    const F magic = 12582912.0F, top = 88.0F, none = 0.0F;
    const F bounded = x > top ? top : x;
    const F shifted = bounded * 1.44269504F + magic;
    const F whole = shifted - magic;
    const F rest = (bounded - whole * 0.693359375F) + whole * 2.12194440e-4F;
    F y = 1.9875691500e-4F;
    y = y * rest + 1.3981999507e-3F;
    y = y * rest + 8.3334519073e-3F;
    y = y * rest + 4.1665795894e-2F;
    y = y * rest + 1.6666665459e-1F;
    y = y * rest + 5.0000001201e-1F;
    y = y * rest * rest + rest + 1.0F;
    const U power = (__builtin_bit_cast(U, shifted) - __builtin_bit_cast(U, magic) + 127U) << 23;
    return x < F(-87.0F) ? none : y * __builtin_bit_cast(F, power);
}

}  // namespace ctorch
