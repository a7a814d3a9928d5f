#pragma once

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>

#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/view.hpp>

/// \file
/// Rows of q and k on their way into the product: bias, norm, rotation, scale; and the way back of
/// their gradients.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What biases of q and of k (a tuple of references), norms, and what the position encoding
/// prepared for this call, or no_part, do to a row.
template <class T, bool NormalisesQuery, bool NormalisesKey, class Encoding, class Biases>
class row_preparation {
  public:
    static constexpr bool has_encoding = !std::is_same_v<Encoding, no_part>;
    static constexpr bool is_rectified = requires(const Encoding& encoding) {
        encoding.takes(encoding_map::near, index(0), index(0));
    };
    static constexpr bool normalises_query = NormalisesQuery, normalises_key = NormalisesKey;
    template <bool OfQueries>
    static constexpr bool has_bias = []<class... Parts>(std::tuple<const Parts&...>*) {
        return (is_input_bias<OfQueries, Parts> || ...);
    }(static_cast<Biases*>(nullptr));

    const tensor_view<const T, 4>& q;
    const tensor_view<const T, 4>& k;
    const Encoding& encoding;
    Biases biases;

    index dim() const { return q.extents[3]; }

    /// A query before its scale.
    void query(const query_row& row, [[maybe_unused]] encoding_map map, T* to) const {
        biased_query(row, to);
        if constexpr (normalises_query) normalise_row(to, dim());
        if constexpr (is_rectified)
            encoding.rotate_query(to, row.batch, row.query, map);
        else if constexpr (has_encoding)
            encoding.rotate_query(to, row.batch, row.query);
    }
    void key(index batch, index kv_head, index at, [[maybe_unused]] encoding_map map,
             T* row) const {
        add_bias<false>(kv_head, row);
        if constexpr (normalises_key) normalise_row(row, dim());
        if constexpr (is_rectified)
            encoding.rotate_key(row, batch, at, map);
        else if constexpr (has_encoding)
            encoding.rotate_key(row, batch, at);
    }

    void biased_query(const query_row& row, T* to) const {
        copy_rows(q, row.batch, row.head, row.query, 1, to);
        add_bias<true>(row.head, to);
    }
    void biased_key(index batch, index kv_head, index key, T* to) const {
        copy_rows(k, batch, kv_head, key, 1, to);
        add_bias<false>(kv_head, to);
    }

  private:
    template <bool OfQueries>
    void add_bias([[maybe_unused]] index head, [[maybe_unused]] T* row) const {
        [[maybe_unused]] const auto add = [&]<class Part>(const Part& part) {
            if constexpr (is_input_bias<OfQueries, Part>) unwrap(part).add(head, row, dim());
        };
        std::apply([&](const auto&... part) { (add(part), ...); }, biases);
    }
};

/// row_source by a preparation.
template <class T, class Preparation>
class row_source_of final : public row_source<T> {
  public:
    row_source_of(const Preparation& preparation, [[maybe_unused]] index of_encoding)
        : rows_(preparation) {
        this->as_given = !Preparation::has_encoding && !Preparation::normalises_query &&
                         !Preparation::normalises_key && !Preparation::template has_bias<true> &&
                         !Preparation::template has_bias<false>;
        if constexpr (Preparation::is_rectified) {
            if (of_encoding == 0) return;  // a cache's, which may be of any kind
            this->query_map_count = most_query_maps;
            this->key_map_count = most_key_maps;
            this->window = of_encoding;
        }
    }

    void queries(const query_tile<T>& tile) const override {
        const index dim = rows_.dim();
        for (index r = 0; r < tile.count; ++r) {
            const query_row& row = tile.rows[r];
            for (std::size_t m = 0; m < this->query_map_count; ++m) {
                T* to = tile.plain[m] + r * dim;
                if constexpr (!Preparation::has_encoding && !Preparation::normalises_query &&
                              !Preparation::template has_bias<true>) {
                    const auto from = rows_of(rows_.q, row.batch, row.head, row.query, 1, to);
                    multiply_row(from.data, dim, tile.scale[r], to);
                } else {
                    rows_.query(row, static_cast<encoding_map>(m), to);
                    multiply_row(to, dim, tile.scale[r], to);
                }
            }
        }
    }

    contiguous_rows<T> keys(index batch, index kv_head, index first, index count,
                            [[maybe_unused]] encoding_map map, T* buffer) const override {
        if constexpr (!Preparation::has_encoding && !Preparation::normalises_key &&
                      !Preparation::template has_bias<false>) {
            return rows_of(rows_.k, batch, kv_head, first, count, buffer);
        } else {
            const index dim = rows_.dim();
            copy_rows(rows_.k, batch, kv_head, first, count, buffer);
            for (index r = 0; r < count; ++r)
                rows_.key(batch, kv_head, first + r, map, buffer + r * dim);
            return {buffer, dim};
        }
    }

    bool takes([[maybe_unused]] encoding_map map, [[maybe_unused]] index first,
               [[maybe_unused]] index count) const override {
        if constexpr (Preparation::is_rectified)
            return rows_.encoding.takes(map, first, count);
        else
            return true;
    }

  private:
    const Preparation& rows_;
};

/// row_return by a preparation.
template <class T, class Preparation>
class row_return_of final : public row_return<T> {
    static constexpr bool is_rectified = Preparation::is_rectified;

  public:
    explicit row_return_of(const Preparation& preparation) : rows_(preparation) {}

    void query(const query_row& row, encoding_map map, T* to) const override {
        rows_.query(row, map, to);
    }

    void query_back(const query_row& row, const query_maps<T*>& gradients,
                    [[maybe_unused]] T* buffer) const override {
        if constexpr (!Preparation::has_encoding && !Preparation::normalises_query) return;
        if (are_zero(gradients)) return;
        T* gradient = gradients[0];
        if constexpr (is_rectified) {
            for (std::size_t m = 0; m < most_query_maps; ++m) {
                rows_.encoding.rotate_query_back(gradients[m], row.batch, row.query,
                                                 static_cast<encoding_map>(m));
                if (m > 0) add_to(gradient, gradients[m]);
            }
        } else if constexpr (Preparation::has_encoding) {
            rows_.encoding.rotate_query_back(gradient, row.batch, row.query);
        }
        if constexpr (Preparation::normalises_query) {
            rows_.biased_query(row, buffer);
            normalise_row_back(gradient, buffer, rows_.dim());
        }
    }

    void key_back(index batch, [[maybe_unused]] index kv_head, index key,
                  const key_maps<T*>& gradients, [[maybe_unused]] T* buffer) const override {
        if constexpr (!Preparation::has_encoding && !Preparation::normalises_key) return;
        if (are_zero(gradients)) return;
        T* gradient = gradients[0];
        if constexpr (is_rectified) {
            rows_.encoding.rotate_key_back(gradient, batch, key, encoding_map::near);
            rows_.encoding.rotate_key_back(gradients[1], batch, key, encoding_map::past);
            add_to(gradient, gradients[1]);
        } else if constexpr (Preparation::has_encoding) {
            rows_.encoding.rotate_key_back(gradient, batch, key);
        }
        if constexpr (Preparation::normalises_key) {
            rows_.biased_key(batch, kv_head, key, buffer);
            normalise_row_back(gradient, buffer, rows_.dim());
        }
    }

  private:
    /// Whether the gradients of a row are 0 in all of the encoding's maps.
    template <std::size_t Most>
    bool are_zero(const std::array<T*, Most>& gradients) const {
        for (std::size_t m = 0; m < (is_rectified ? Most : 1); ++m)
            if (!is_zero(gradients[m], rows_.dim())) return false;
        return true;
    }

    void add_to(T* to, const T* from) const {
        for (index c = 0; c < rows_.dim(); ++c) to[c] += from[c];
    }

    const Preparation& rows_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
