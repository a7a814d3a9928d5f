#pragma once

#include <cfenv>
#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/portable.hpp>

/// \file
/// What decides how a thread treats denormals and rounds: x86's MXCSR, Arm's FPCR. Elsewhere the
/// direction of rounding is all that a program can ask for.

namespace heed::inline HEED_ARCHITECTURE::detail {

#if defined(__x86_64__)

inline unsigned float_mode() { return _mm_getcsr(); }
inline void set_float_mode(unsigned mode) { _mm_setcsr(mode); }

#elif defined(__aarch64__)

inline unsigned float_mode() {
    std::uint64_t mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return static_cast<unsigned>(mode);  // the upper half is reserved, and zero
}
inline void set_float_mode(unsigned mode) {
    asm volatile("msr fpcr, %0" : : "r"(std::uint64_t(mode)) : "memory");
}

#else

inline unsigned float_mode() { return static_cast<unsigned>(std::fegetround()); }
inline void set_float_mode(unsigned mode) { std::fesetround(static_cast<int>(mode)); }

#endif

}  // namespace heed::inline HEED_ARCHITECTURE::detail
