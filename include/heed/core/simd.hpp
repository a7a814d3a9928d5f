#pragma once

#include <heed/core/simd/float_mode.hpp>
#include <heed/core/simd/functions.hpp>
#include <heed/core/simd/memory.hpp>
#include <heed/core/simd/vec.hpp>

/// \file
/// heed's vectors: the one header to include for them.
///
/// `vec<T>` holds as many numbers as the instruction set computes at once. The files of simd/ are
/// alone in naming xsimd or an intrinsic. What xsimd offers on every machine is taken from it
/// (portable.hpp); what it lacks, or computes by other instructions than one would expect (fused
/// multiply-adds above all), is written once an instruction set: avx512.hpp, avx2.hpp, sse2.hpp,
/// neon.hpp. simd/instructions.hpp chooses.
