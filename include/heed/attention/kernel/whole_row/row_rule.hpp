#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/whole_row/support.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>

/// \file
/// A normaliser of whole rows as the kernels know it.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// From a row of scores to probabilities. `kernel` is what the normaliser keeps of a head, in
/// kernel_bytes of memory; statistics are those of backward, statistics_bytes a row.
template <class T>
class row_rule {
  public:
    index kernel_bytes = 0;
    index statistics_bytes = 0;
    bool is_sparse = false;  ///< whether most probabilities are zero

    virtual void open(void* kernel, index head) const = 0;
    /// Scores become probabilities in place.
    virtual void normalise(const void* kernel, T* row, index count, std::byte* statistics,
                           arena& scratch) const = 0;
    /// The probabilities that are not zero, and their positions: how many. Of a sparse one.
    virtual index support(const void* kernel, const T* row, index count, T maximum,
                          T* probabilities, std::int32_t* positions, std::byte* statistics,
                          arena& scratch) const = 0;
    /// The same probabilities as they were, from the statistics.
    virtual void recompute(const void* kernel, const std::byte* statistics, T* row,
                           index count) const = 0;

  protected:
    ~row_rule() = default;
};

/// row_rule by a normaliser.
template <class T, class Normaliser>
class row_rule_of final : public row_rule<T> {
    using kernel_type = kernel_of<T, Normaliser>;
    using statistics_type = typename kernel_type::statistics;
    static_assert(std::is_trivially_destructible_v<kernel_type> &&
                      std::is_trivially_copyable_v<statistics_type>,
                  "heed: what a normaliser's whole_row() returns must be trivially destructible, "
                  "and its statistics trivially copyable");

  public:
    explicit row_rule_of(const Normaliser& normaliser) : normaliser_(normaliser) {
        this->kernel_bytes = sizeof(kernel_type);
        this->statistics_bytes = sizeof(statistics_type);
        this->is_sparse = detail::is_sparse<kernel_type>;
    }

    void open(void* kernel, index head) const override {
        ::new (kernel) kernel_type(normaliser_.template whole_row<T>(head));
    }
    void normalise(const void* kernel, T* row, index count, std::byte* statistics,
                   arena& scratch) const override {
        at(statistics) = of(kernel).normalise(row, count, scratch);
    }
    index support([[maybe_unused]] const void* kernel, [[maybe_unused]] const T* row,
                  [[maybe_unused]] index count, [[maybe_unused]] T maximum,
                  [[maybe_unused]] T* probabilities, [[maybe_unused]] std::int32_t* positions,
                  [[maybe_unused]] std::byte* statistics,
                  [[maybe_unused]] arena& scratch) const override {
        if constexpr (detail::is_sparse<kernel_type>) {
            at(statistics) = statistics_type{};
            return of(kernel).support(row, count, maximum, probabilities, positions, at(statistics),
                                      scratch);
        } else {
            return 0;
        }
    }
    void recompute(const void* kernel, const std::byte* statistics, T* row,
                   index count) const override {
        of(kernel).recompute(*reinterpret_cast<const statistics_type*>(statistics), row, count);
    }

  private:
    static const kernel_type& of(const void* kernel) {
        return *static_cast<const kernel_type*>(kernel);
    }
    static statistics_type& at(std::byte* statistics) {
        return *reinterpret_cast<statistics_type*>(statistics);
    }

    const Normaliser& normaliser_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
