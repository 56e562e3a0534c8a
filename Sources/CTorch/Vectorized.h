// What loops over elements on the CPU share: several instruction sets for one body, and bfloat16 as it lies in memory.
#pragma once

#include <bit>
#include <cstdint>

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

}  // namespace ctorch
