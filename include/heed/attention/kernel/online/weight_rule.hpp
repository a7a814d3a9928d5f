#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/observers/observer.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/softmax/kernel/streaming.hpp>

/// \file
/// A streaming normaliser as the forward kernel knows it.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// From scores to weights of the values, block of keys by block. `stream` is what the normaliser
/// keeps of a head, in stream_bytes of memory; statistics are those of backward, statistics_bytes a
/// row. Scores and weights are rows score_stride apart.
template <class T>
class weight_rule {
  public:
    index stream_bytes = 0;
    index statistics_bytes = 0;
    bool may_overflow = false;      ///< whether weights may be beyond T where p is not
    summed sums = summed::nothing;  ///< what rows.sum is of

    virtual void open(void* stream, index head) const = 0;
    /// Before the first block.
    virtual void begin(const void* stream, const running_rows<T>& rows, const index* visible,
                       index count) const = 0;
    /// The block's largest scores are known.
    virtual void advance(const void* stream, const running_rows<T>& rows, const T* block_maximum,
                         index count) const = 0;
    /// Scores of rows first … last − 1 become weights in `range`; their sums go to `observed`, if
    /// somebody observes.
    virtual void weigh(const void* stream, const running_rows<T>& rows, index first, index last,
                       T* scores, key_interval range, observed_rows<T>& observed) const = 0;
    /// They become probabilities, once their rows' statistics are known.
    virtual void weigh_known(const void* stream, const std::byte* statistics, index first,
                             index last, T* scores, key_interval range) const = 0;
    /// What Σ weight·v of each row is to be multiplied by: factor[count]. Their statistics are
    /// written, unless null.
    virtual void finish(const void* stream, const running_rows<T>& rows, index count, T* factor,
                        std::byte* statistics) const = 0;
    /// Whether the weights of a row that is done were beyond T; then it begins again with weights
    /// that shrink by its largest |score|.
    virtual bool overflows(const void* stream, const running_rows<T>& rows, index r) const = 0;
    virtual void shrink(const void* stream, const running_rows<T>& rows, index r,
                        T largest) const = 0;

  protected:
    ~weight_rule() = default;
};

/// Whether a stream's weights may be beyond T; see weights.hpp.
template <class Stream, class T>
concept overflowing_stream = requires(const Stream& stream, const running_rows<T>& rows) {
    stream.overflows(rows, index(0));
};

/// weight_rule by a normaliser.
template <class T, class Normaliser, bool Observes>
class weight_rule_of final : public weight_rule<T> {
    using stream_type =
        std::remove_cvref_t<decltype(std::declval<const Normaliser&>().template streaming<T>(
            index(0)))>;
    using statistics = typename stream_type::statistics;
    static_assert(std::is_trivially_destructible_v<stream_type> &&
                      std::is_trivially_copyable_v<statistics>,
                  "heed: what a normaliser's streaming() returns must be trivially destructible, "
                  "and its statistics trivially copyable");

  public:
    explicit weight_rule_of(const Normaliser& normaliser) : normaliser_(normaliser) {
        this->stream_bytes = sizeof(stream_type);
        this->statistics_bytes = sizeof(statistics);
        this->may_overflow = overflowing_stream<stream_type, T>;
        if constexpr (requires { stream_type::sums; }) this->sums = stream_type::sums;
    }

    void open(void* stream, index head) const override {
        ::new (stream) stream_type(normaliser_.template streaming<T>(head));
    }
    void begin(const void* stream, const running_rows<T>& rows, const index* visible,
               index count) const override {
        of(stream).begin(rows, visible, count);
    }
    void advance(const void* stream, const running_rows<T>& rows, const T* block_maximum,
                 index count) const override {
        of(stream).advance(rows, block_maximum, count);
    }
    void weigh(const void* stream, const running_rows<T>& rows, index first, index last, T* scores,
               key_interval range, [[maybe_unused]] observed_rows<T>& observed) const override {
        for (index r = first; r < last; ++r) {
            T* row = scores + r * score_stride<T>;
            if constexpr (Observes)
                observed.weigh(of(stream), rows, r, row, range.first, range.last);
            else
                of(stream).weigh(rows, r, row, range.first, range.last);
        }
    }
    void weigh_known(const void* stream, const std::byte* known, index first, index last, T* scores,
                     key_interval range) const override {
        for (index r = first; r < last; ++r) {
            const auto row = of(stream).row(reinterpret_cast<const statistics*>(known)[r], T(0));
            T* at = scores + r * score_stride<T>;
            for (index j = range.first; j < range.last; j += vec<T>::size)
                row.probability(vec<T>::load(at + j)).store(at + j);
        }
    }
    void finish(const void* stream, const running_rows<T>& rows, index count, T* factor,
                std::byte* results) const override {
        statistics unused;
        for (index r = 0; r < count; ++r)
            factor[r] = of(stream).finish(
                rows, r, results == nullptr ? unused : reinterpret_cast<statistics*>(results)[r]);
    }
    bool overflows([[maybe_unused]] const void* stream,
                   [[maybe_unused]] const running_rows<T>& rows,
                   [[maybe_unused]] index r) const override {
        if constexpr (overflowing_stream<stream_type, T>)
            return of(stream).overflows(rows, r);
        else
            return false;
    }
    void shrink([[maybe_unused]] const void* stream, [[maybe_unused]] const running_rows<T>& rows,
                [[maybe_unused]] index r, [[maybe_unused]] T largest) const override {
        if constexpr (overflowing_stream<stream_type, T>) of(stream).shrink(rows, r, largest);
    }

  private:
    static const stream_type& of(const void* stream) {
        return *static_cast<const stream_type*>(stream);
    }

    const Normaliser& normaliser_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
