#pragma once

#include <algorithm>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>

/// \file
/// Feature maps that are written row by row.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The rule of a map of one row, R, a small value with
///
///     void map(const T* x, index position, T* to) const;
///     void back(const T* x, index position, const T* d_features, T* to) const;
template <class T, bool Backward, class R>
class row_map_rule final : public feature_rule<T> {
  public:
    row_map_rule(index count, R row) : row_(std::move(row)) { this->feature_count = count; }

    void queries(contiguous_rows<T> x, row_places places, written_rows<T> to,
                 arena&) const override {
        map(x, places, to);
    }
    void keys(contiguous_rows<T> x, row_places places, written_rows<T> to, arena&) const override {
        map(x, places, to);
    }
    void queries_back(contiguous_rows<T> x, row_places places, contiguous_rows<T>,
                      contiguous_rows<T> gradients, written_rows<T> to, arena&) const override {
        map_back(x, places, gradients, to);
    }
    void keys_back(contiguous_rows<T> x, row_places places, contiguous_rows<T>,
                   contiguous_rows<T> gradients, written_rows<T> to, arena&) const override {
        map_back(x, places, gradients, to);
    }

  private:
    void map(contiguous_rows<T> x, row_places places, written_rows<T> to) const {
        for (index r = 0; r < places.count; ++r) {
            row_.map(x[r], places.first + r, to[r]);
            std::fill(to[r] + this->feature_count, to[r] + padded<T>(this->feature_count), T(0));
        }
    }
    void map_back([[maybe_unused]] contiguous_rows<T> x, [[maybe_unused]] row_places places,
                  [[maybe_unused]] contiguous_rows<T> gradients,
                  [[maybe_unused]] written_rows<T> to) const {
        if constexpr (Backward)
            for (index r = 0; r < places.count; ++r)
                row_.back(x[r], places.first + r, gradients[r], to[r]);
    }

    R row_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
