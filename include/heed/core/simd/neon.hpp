#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <heed/core/architecture.hpp>
#include <heed/core/simd/portable.hpp>

/// \file
/// NEON of 64-bit Arm: 128 bits. SVE of a width that the compiler is told has the portable forms.

#if defined(__aarch64__) && !(defined(__ARM_FEATURE_SVE_BITS) && __ARM_FEATURE_SVE_BITS)

#include <arm_neon.h>

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Entry b moves the lanes whose bits of b are set to the front, as bytes for vqtbl1q_u8.
inline constexpr auto compressing_bytes = [] {
    std::array<std::array<std::uint8_t, 16>, 16> bytes{};
    for (unsigned bits = 0; bits < 16; ++bits) {
        std::size_t n = 0;
        for (unsigned lane = 0; lane < 4; ++lane) {
            if ((bits >> lane & 1) == 0) continue;
            for (unsigned byte = 0; byte < 4; ++byte)
                bytes[bits][n++] = static_cast<std::uint8_t>(4 * lane + byte);
        }
    }
    return bytes;
}();
inline uint8x16_t compressed(uint8x16_t lanes, std::uint64_t bits) {
    return vqtbl1q_u8(lanes, vld1q_u8(compressing_bytes[bits].data()));
}

// Not xsimd's quotient, square root and rounding: those of version 8 for float are approximations,
// or many instructions.
template <>
struct instructions<float> : portable_instructions<float> {
    static numbers divide(numbers a, numbers b) { return vdivq_f32(a, b); }
    static numbers fma(numbers a, numbers b, numbers c) { return vfmaq_f32(c, a, b); }
    static numbers min(numbers a, numbers b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
    static numbers max(numbers a, numbers b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
    static numbers sqrt(numbers a) { return vsqrtq_f32(a); }
    static numbers round(numbers a) { return vrndnq_f32(a); }
    static numbers floor(numbers a) { return vrndmq_f32(a); }
    static numbers select(truths mask, numbers a, numbers b) { return vbslq_f32(mask, a, b); }

    static integers to_bits(numbers a) { return vreinterpretq_s32_f32(a); }
    static numbers from_bits(integers bits) { return vreinterpretq_f32_s32(bits); }
    static integers to_integers(numbers whole) { return vcvtq_s32_f32(whole); }

    static float reduce_add(numbers a) {
        return vpadds_f32(vadd_f32(vget_low_f32(a), vget_high_f32(a)));
    }
    static float reduce_max(numbers a) {
        const float32x2_t low = vget_low_f32(a), high = vget_high_f32(a);
        const float32x2_t pair = vbsl_f32(vcgt_f32(low, high), low, high);
        const float first = vget_lane_f32(pair, 0), second = vget_lane_f32(pair, 1);
        return first > second ? first : second;
    }

    static numbers zip_low(numbers a, numbers b) { return vzip1q_f32(a, b); }
    static numbers zip_high(numbers a, numbers b) { return vzip2q_f32(a, b); }
    template <int First>
    static numbers unzip(numbers a, numbers b) {
        return First == 0 ? vuzp1q_f32(a, b) : vuzp2q_f32(a, b);
    }

    static truths mask_from_bits(std::uint64_t bits) {
        return vtstq_u32(vdupq_n_u32(static_cast<std::uint32_t>(bits)), bit_of_lane());
    }
    static std::uint64_t mask_bits(truths mask) {
        return vaddvq_u32(vandq_u32(mask, bit_of_lane()));
    }
    static truths load_mask(const bool* from, index count) {
        if (count < 4) return portable_instructions<float>::load_mask(from, count);
        std::uint32_t bytes;
        std::memcpy(&bytes, from, sizeof bytes);
        const uint16x8_t halves = vmovl_u8(vcreate_u8(bytes));
        const uint32x4_t words = vmovl_u16(vget_low_u16(halves));
        return vtstq_u32(words, words);
    }

    static void compress(numbers a, truths mask, float* to) {
        const uint8x16_t lanes = vreinterpretq_u8_f32(a);
        vst1q_f32(to, vreinterpretq_f32_u8(compressed(lanes, mask_bits(mask))));
    }
    static void compress_positions(truths mask, const std::int32_t* from, std::int32_t* to) {
        compress_positions(mask, vld1q_s32(from), to);
    }
    static void compress_positions(truths mask, std::int32_t first, std::int32_t* to) {
        static constexpr std::array<std::int32_t, 4> iota{0, 1, 2, 3};
        compress_positions(mask, vaddq_s32(vdupq_n_s32(first), vld1q_s32(iota.data())), to);
    }

    static numbers load_strided(const float* from, index stride, index count, float fill) {
        float32x4_t a = vdupq_n_f32(fill);
        if (count > 0) a = vld1q_lane_f32(from, a, 0);
        if (count > 1) a = vld1q_lane_f32(from + stride, a, 1);
        if (count > 2) a = vld1q_lane_f32(from + 2 * stride, a, 2);
        if (count > 3) a = vld1q_lane_f32(from + 3 * stride, a, 3);
        return a;
    }
    static void store_strided(numbers a, float* to, index stride, index count) {
        if (count > 0) vst1q_lane_f32(to, a, 0);
        if (count > 1) vst1q_lane_f32(to + stride, a, 1);
        if (count > 2) vst1q_lane_f32(to + 2 * stride, a, 2);
        if (count > 3) vst1q_lane_f32(to + 3 * stride, a, 3);
    }
#if !defined(__clang__)
    // g++ reads as far ahead as it can, and then lacks registers.
    [[gnu::always_inline]] static void read_after(const float*& from, numbers known) {
        asm("" : "+r"(from) : "w"(static_cast<float32x4_t>(known)));
    }
#endif

  private:
    static uint32x4_t bit_of_lane() {
        static constexpr std::array<std::uint32_t, 4> bit{1, 2, 4, 8};
        return vld1q_u32(bit.data());
    }
    static void compress_positions(truths mask, int32x4_t positions, std::int32_t* to) {
        const uint8x16_t lanes = vreinterpretq_u8_s32(positions);
        vst1q_s32(to, vreinterpretq_s32_u8(compressed(lanes, mask_bits(mask))));
    }
};

template <>
struct instructions<double> : portable_instructions<double> {
    static numbers divide(numbers a, numbers b) { return vdivq_f64(a, b); }
    static numbers fma(numbers a, numbers b, numbers c) { return vfmaq_f64(c, a, b); }
    static numbers min(numbers a, numbers b) { return vbslq_f64(vcltq_f64(a, b), a, b); }
    static numbers max(numbers a, numbers b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
    static numbers sqrt(numbers a) { return vsqrtq_f64(a); }
    static numbers round(numbers a) { return vrndnq_f64(a); }
    static numbers floor(numbers a) { return vrndmq_f64(a); }
    static numbers select(truths mask, numbers a, numbers b) { return vbslq_f64(mask, a, b); }

    static integers to_bits(numbers a) { return vreinterpretq_s64_f64(a); }
    static numbers from_bits(integers bits) { return vreinterpretq_f64_s64(bits); }

    static double reduce_add(numbers a) { return vpaddd_f64(a); }
    static double reduce_max(numbers a) {
        const double first = vgetq_lane_f64(a, 0), second = vgetq_lane_f64(a, 1);
        return first > second ? first : second;
    }

    static numbers zip_low(numbers a, numbers b) { return vzip1q_f64(a, b); }
    static numbers zip_high(numbers a, numbers b) { return vzip2q_f64(a, b); }
    template <int First>
    static numbers unzip(numbers a, numbers b) {
        return First == 0 ? vuzp1q_f64(a, b) : vuzp2q_f64(a, b);
    }
    static batch<float> narrow(numbers low, numbers high) {
        return vcvt_high_f32_f64(vcvt_f32_f64(low), high);
    }

    static truths mask_from_bits(std::uint64_t bits) {
        return vtstq_u64(vdupq_n_u64(bits), bit_of_lane());
    }
    static std::uint64_t mask_bits(truths mask) {
        return vaddvq_u64(vandq_u64(mask, bit_of_lane()));
    }

    // Of two lanes the second moves if the first is left out, and that is all.
    static void compress(numbers a, truths mask, double* to) {
        const uint64x2_t first_stays = vdupq_laneq_u64(mask, 0);
        vst1q_f64(to, vbslq_f64(first_stays, a, vdupq_laneq_f64(a, 1)));
    }
    static void compress_positions(truths mask, const std::int32_t* from, std::int32_t* to) {
        compress_positions(mask, vld1_s32(from), to);
    }
    static void compress_positions(truths mask, std::int32_t first, std::int32_t* to) {
        const int32x2_t iota = vcreate_s32(std::uint64_t(1) << 32);
        compress_positions(mask, vadd_s32(vdup_n_s32(first), iota), to);
    }

    static numbers load_strided(const double* from, index stride, index count, double fill) {
        float64x2_t a = vdupq_n_f64(fill);
        if (count > 0) a = vld1q_lane_f64(from, a, 0);
        if (count > 1) a = vld1q_lane_f64(from + stride, a, 1);
        return a;
    }
    static void store_strided(numbers a, double* to, index stride, index count) {
        if (count > 0) vst1q_lane_f64(to, a, 0);
        if (count > 1) vst1q_lane_f64(to + stride, a, 1);
    }
#if !defined(__clang__)
    // g++ reads as far ahead as it can, and then lacks registers.
    [[gnu::always_inline]] static void read_after(const double*& from, numbers known) {
        asm("" : "+r"(from) : "w"(static_cast<float64x2_t>(known)));
    }
#endif

  private:
    static uint64x2_t bit_of_lane() {
        static constexpr std::array<std::uint64_t, 2> bit{1, 2};
        return vld1q_u64(bit.data());
    }
    static void compress_positions(truths mask, int32x2_t positions, std::int32_t* to) {
        const uint32x2_t first_stays = vdup_laneq_u32(vreinterpretq_u32_u64(mask), 0);
        vst1_s32(to, vbsl_s32(first_stays, positions, vdup_lane_s32(positions, 1)));
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail

#endif
