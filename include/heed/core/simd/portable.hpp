#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"        // GCC 12 warns of its own
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // AVX-512 headers
#endif
#include <xsimd/xsimd.hpp>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <heed/core/architecture.hpp>

/// \file
/// What every machine computes: by xsimd, or where that has nothing, lane by lane through memory.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class T>
using batch = xsimd::batch<T>;
template <class T>
using batch_bool = typename xsimd::batch<T>::batch_bool_type;

/// The integers of T's width, a lane each: for work on the bits of a number.
template <class T>
using bits_of = std::conditional_t<std::is_same_v<T, float>, std::int32_t, std::int64_t>;
template <class T>
using vec_bits = xsimd::batch<bits_of<T>>;

template <class T>
struct instructions;

/// Whether lanes are no more than loops of xsimd's, which it has for machines that it does not
/// know.
template <class Architecture>
inline constexpr bool is_emulated = false;
#if defined(XSIMD_WITH_EMULATED) && XSIMD_WITH_EMULATED
template <std::size_t Bits>
inline constexpr bool is_emulated<xsimd::emulated<Bits>> = true;
#endif

/// The forms that `instructions<T>` has where its own file, one an instruction set, has no better.
/// vec.hpp and functions.hpp say what each is to do.
template <class T>
struct portable_instructions {
    using numbers = batch<T>;
    using truths = batch_bool<T>;
    using integers = vec_bits<T>;
    static constexpr auto size = static_cast<index>(numbers::size);

    static constexpr bool has_fma = true;
    static constexpr bool has_avx512 = false;

    // ---- arithmetic ------------------------------------------------------------------------

    static numbers divide(numbers a, numbers b) { return a / b; }
    static numbers fma(numbers a, numbers b, numbers c) {
        if constexpr (is_emulated<typename numbers::arch_type>) {
            // Lane by lane: its own would round twice, or once, as the compiler pleases.
            alignas(64) lanes x, y, z;
            a.store_aligned(x.data());
            b.store_aligned(y.data());
            c.store_aligned(z.data());
            for (std::size_t l = 0; l < z.size(); ++l) z[l] = std::fma(x[l], y[l], z[l]);
            return numbers::load_aligned(z.data());
        } else {
            return xsimd::fma(a, b, c);
        }
    }
    static numbers min(numbers a, numbers b) { return own::select(a < b, a, b); }
    static numbers max(numbers a, numbers b) { return own::select(a > b, a, b); }
    static numbers abs(numbers a) { return xsimd::abs(a); }
    static numbers sqrt(numbers a) { return xsimd::sqrt(a); }
    static numbers round(numbers a) { return xsimd::nearbyint(a); }
    static numbers floor(numbers a) { return xsimd::floor(a); }
    static numbers select(truths mask, numbers a, numbers b) { return xsimd::select(mask, a, b); }

    static integers to_bits(numbers a) {
#if XSIMD_VERSION_MAJOR >= 10
        return xsimd::bitwise_cast<bits_of<T>>(a);
#else
        return xsimd::bitwise_cast<integers>(a);
#endif
    }
    static numbers from_bits(integers bits) {
#if XSIMD_VERSION_MAJOR >= 10
        return xsimd::bitwise_cast<T>(bits);
#else
        return xsimd::bitwise_cast<numbers>(bits);
#endif
    }
    static integers to_integers(numbers whole) { return xsimd::to_int(whole); }

    // ---- across lanes ----------------------------------------------------------------------

    static numbers iota() {
        alignas(64) static constexpr auto lane = [] {
            lanes number{};
            for (std::size_t l = 0; l < number.size(); ++l) number[l] = static_cast<T>(l);
            return number;
        }();
        return numbers::load_aligned(lane.data());
    }

    static T reduce_add(numbers a) {
        return reduce(a, [](T x, T y) { return x + y; });
    }
    static T reduce_max(numbers a) {
        return reduce(a, [](T x, T y) { return x > y ? x : y; });
    }

    static numbers zip_low(numbers a, numbers b) { return xsimd::zip_lo(a, b); }
    static numbers zip_high(numbers a, numbers b) { return xsimd::zip_hi(a, b); }

    template <int First>
    static numbers unzip(numbers a, numbers b) {
        std::array<T, 2 * numbers::size> lane;
        a.store_unaligned(lane.data());
        b.store_unaligned(lane.data() + size);
        return own::load_strided(lane.data() + First, 2, size, T(0));
    }

    static batch<float> narrow(batch<double> low, batch<double> high) {
        constexpr std::size_t half = batch<double>::size;
        std::array<double, 2 * half> from;
        std::array<float, 2 * half> to;
        low.store_unaligned(from.data());
        high.store_unaligned(from.data() + half);
        for (std::size_t l = 0; l < 2 * half; ++l) to[l] = static_cast<float>(from[l]);
        return batch<float>::load_unaligned(to.data());
    }

    // ---- masks -----------------------------------------------------------------------------

    static bool any(truths mask) { return xsimd::any(mask); }
    static bool all(truths mask) { return xsimd::all(mask); }

    static truths mask_from_bits(std::uint64_t bits) {
        alignas(64) lanes lane;
        for (std::size_t l = 0; l < lane.size(); ++l) lane[l] = static_cast<T>((bits >> l) & 1);
        return ~(numbers::load_aligned(lane.data()) == numbers(T(0)));
    }
    static std::uint64_t mask_bits(truths mask) {
        alignas(64) lanes lane;
        own::select(mask, numbers(T(1)), numbers(T(0))).store_aligned(lane.data());
        std::uint64_t bits = 0;
        for (std::size_t l = 0; l < lane.size(); ++l) bits |= std::uint64_t(lane[l] != T(0)) << l;
        return bits;
    }
    static truths load_mask(const bool* from, index count) {
        std::uint64_t bits = 0;
        for (index l = 0; l < count && l < size; ++l) bits |= std::uint64_t(from[l]) << l;
        return own::mask_from_bits(bits);
    }

    static void compress(numbers a, truths mask, T* to) {
        alignas(64) lanes lane;
        a.store_aligned(lane.data());
        write_compressed(own::mask_bits(mask), lane, to);
    }
    static void compress_positions(truths mask, const std::int32_t* from, std::int32_t* to) {
        positions lane;
        std::memcpy(lane.data(), from, sizeof lane);
        write_compressed(own::mask_bits(mask), lane, to);
    }
    static void compress_positions(truths mask, std::int32_t first, std::int32_t* to) {
        positions lane;
        for (std::int32_t& position : lane) position = first++;
        write_compressed(own::mask_bits(mask), lane, to);
    }

    // ---- memory ----------------------------------------------------------------------------

    static numbers load_partial(const T* from, index count, T fill) {
        return own::load_strided(from, 1, count, fill);
    }
    static void store_partial(numbers a, T* to, index count) {
        own::store_strided(a, to, 1, count);
    }
    static numbers load_strided(const T* from, index stride, index count, T fill) {
        alignas(64) lanes lane;
        for (index l = 0; l < size; ++l) {
            lane[static_cast<std::size_t>(l)] = l < count ? from[l * stride] : fill;
        }
        return numbers::load_aligned(lane.data());
    }
    static void store_strided(numbers a, T* to, index stride, index count) {
        alignas(64) lanes lane;
        a.store_aligned(lane.data());
        for (index l = 0; l < size && l < count; ++l)
            to[l * stride] = lane[static_cast<std::size_t>(l)];
    }
    static void stream(numbers a, T* to) { a.store_aligned(to); }
    static void read_after(const T*&, numbers) {}

  private:
    using own = instructions<T>;  // the instruction set's form where it has one
    using lanes = std::array<T, numbers::size>;
    using positions = std::array<std::int32_t, numbers::size>;

    /// Half with half, as every instruction set does it.
    template <class Combine>
    static T reduce(numbers a, Combine combine) {
        alignas(64) lanes lane;
        a.store_aligned(lane.data());
        for (std::size_t half = lane.size() / 2; half > 0; half /= 2) {
            for (std::size_t l = 0; l < half; ++l) lane[l] = combine(lane[l], lane[l + half]);
        }
        return lane[0];
    }

    template <class Lanes, class Number>
    static void write_compressed(std::uint64_t set, const Lanes& lane, Number* to) {
        for (std::size_t l = 0; l < lane.size(); ++l) {
            *to = lane[l];
            to += set >> l & 1;
        }
    }
};

template <class T>
struct instructions : portable_instructions<T> {};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
