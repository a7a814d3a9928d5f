#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/view.hpp>

/// \file
/// What a cache does to keys when they are appended, and its encoding to queries when they come:
/// parts whose types the cache no longer knows.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The encoding of a call's queries.
template <class T>
class query_encoding {
  public:
    virtual void rotate(T* row, index batch, index query, encoding_map map) const = 0;

  protected:
    ~query_encoding() = default;
};

/// The parts of a cache that act on keys: a bias, a norm, a position encoding, in this order.
template <class T>
class key_parts {
  public:
    std::size_t maps = 1;         ///< of a key
    index window = 0;             ///< of a rectified encoding; 0 for others
    bool normalises_key = false;  ///< to length 1

    virtual ~key_parts() = default;
    virtual void check(const attention_shape& shape) const = 0;
    /// Rows `first` … first + count − 1 of all heads of k[batch], which stand at `position` and
    /// after it: to[map] is [kv_head, count, dim].
    virtual void encode(const tensor_view<const T, 4>& k, index batch, index first, index count,
                        index position, const key_maps<T*>& to, arena& scratch) const = 0;
    /// Of the queries of a call; null if there is no encoding.
    virtual const query_encoding<T>* queries(const attention_shape& shape,
                                             const call_positions& where, arena& scratch) const = 0;
};

/// query_encoding by what an encoding prepared.
template <class T, class Prepared>
class query_encoding_of final : public query_encoding<T> {
  public:
    explicit query_encoding_of(const Prepared& prepared) : prepared_(prepared) {}

    void rotate(T* row, index batch, index query,
                [[maybe_unused]] encoding_map map) const override {
        if constexpr (requires { prepared_.rotate_query(row, batch, query, map); })
            prepared_.rotate_query(row, batch, query, map);
        else
            prepared_.rotate_query(row, batch, query);
    }

  private:
    Prepared prepared_;
};

/// key_parts by a cache's parts, which it keeps.
template <class T, class... Parts>
class key_parts_of final : public key_parts<T> {
  public:
    explicit key_parts_of(Parts... parts) : parts_(std::move(parts)...) {
        for_each([&]<class Part>(const Part& part) {
            if constexpr (part_of<Part, role::scale>) this->normalises_key = Part::normalises_key;
            if constexpr (rectifies<Part>) {
                this->maps = most_key_maps;
                this->window = part.window();
            }
        });
    }

    void check(const attention_shape& shape) const override {
        for_each([&](const auto& part) { part.check(shape); });
    }

    void encode(const tensor_view<const T, 4>& k, index batch, index first, index count,
                index position, const key_maps<T*>& to, arena& scratch) const override {
        const arena::scope mark(scratch);
        const index heads = k.extents[1], dim = k.extents[3];
        double* positions = scratch.take<double>(count);
        for (index j = 0; j < count; ++j) positions[j] = static_cast<double>(position + j);
        const attention_shape shape{.batch = 1, .keys = count, .dim = dim};
        const call_positions where{.keys = positions};
        for (index head = 0; head < heads; ++head) {
            T* rows = to[0] + head * count * dim;
            copy_rows(k, batch, head, first, count, rows);
            for (index j = 0; j < count; ++j) {
                for_each([&]<class Part>(const Part& part) {
                    if constexpr (is_input_bias<false, Part>) part.add(head, rows + j * dim, dim);
                });
                if (this->normalises_key) normalise_row(rows + j * dim, dim);
            }
            for (std::size_t m = 1; m < this->maps; ++m)
                std::copy_n(rows, static_cast<std::size_t>(count * dim),
                            to[m] + head * count * dim);
        }
        for_each([&]<class Part>(const Part& encoding) {
            if constexpr (part_of<Part, role::position_encoding>) {
                const auto prepared = encoding.template prepare<T>(scratch, shape, where);
                for (std::size_t m = 0; m < this->maps; ++m)
                    for (index row = 0; row < heads * count; ++row)
                        rotate_key(prepared, to[m] + row * dim, row % count,
                                   m == 0 ? encoding_map::near : encoding_map::past);
            }
        });
    }

    const query_encoding<T>* queries(const attention_shape& shape, const call_positions& where,
                                     arena& scratch) const override {
        const query_encoding<T>* of_queries = nullptr;
        attention_shape without_keys = shape;
        without_keys.keys = 0;
        for_each([&]<class Part>(const Part& encoding) {
            if constexpr (part_of<Part, role::position_encoding>) {
                const auto prepared = encoding.template prepare<T>(scratch, without_keys, where);
                using prepared_type = std::remove_cv_t<decltype(prepared)>;
                of_queries = &scratch.make<query_encoding_of<T, prepared_type>>(prepared);
            }
        });
        return of_queries;
    }

  private:
    template <class Prepared>
    static void rotate_key(const Prepared& prepared, T* row, index key,
                           [[maybe_unused]] encoding_map map) {
        if constexpr (requires { prepared.rotate_key(row, index(0), key, map); })
            prepared.rotate_key(row, 0, key, map);
        else
            prepared.rotate_key(row, 0, key);
    }

    template <class F>
    void for_each(const F& f) const {
        std::apply([&](const auto&... part) { (f(part), ...); }, parts_);
    }

    std::tuple<Parts...> parts_;
};

/// Stops the compilation with one sentence if these are no parts of a cache.
template <class... Parts>
constexpr bool check_key_parts() {
    constexpr bool bare_frequencies = (may_be_frequencies<Parts> || ...);
    static_assert(!bare_frequencies,
                  "heed: frequencies alone are not a part of a cache: wrap them in heed::rotary");
    constexpr bool good = ([]<class Part>(std::type_identity<Part>) {
        if constexpr (part_of<Part, role::scale>)
            return Part::normalises_key && !Part::normalises_query;
        else if constexpr (part_of<Part, role::position_encoding>)
            return Part::by_position;
        else
            return is_input_bias<false, Part>;
    }(std::type_identity<Parts>()) &&
                           ...);
    static_assert(good || bare_frequencies,
                  "heed: a cache takes what acts on keys alone: a position encoding by position, "
                  "heed::key_bias, heed::key_norm; all else is a part of the call");
    constexpr bool one_each = count_of<role::position_encoding, Parts...> <= 1 &&
                              count_of<role::input_bias, Parts...> <= 1 &&
                              count_of<role::scale, Parts...> <= 1;
    static_assert(one_each, "heed: a cache takes one part of a kind");
    return good && one_each;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
