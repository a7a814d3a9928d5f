#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <heed/attention/caches/detail/kept_keys.hpp>
#include <heed/attention/caches/detail/key_parts.hpp>
#include <heed/attention/caches/detail/page_layout.hpp>
#include <heed/attention/caches/detail/page_pool.hpp>
#include <heed/attention/caches/detail/stored_sequence.hpp>
#include <heed/attention/caches/kv_cache_options.hpp>
#include <heed/attention/kernel/products/key_blocks.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// The keys and values of what has been read so far, for decoding: `heed::kv_cache<float>`.

namespace heed::inline HEED_ARCHITECTURE {

/// Keys and values of a batch of sequences, [batch, kv_heads, length of the sequence, dim], which
/// grows at its end and never moves. `Storage` is float, double, Eigen::bfloat16, Eigen::half, or
/// std::int8_t with scales, see key_scales; what is computed of it is in float, or double.
///
///     heed::kv_cache<float> cache({.batch = 2, .kv_heads = 8, .dim = 128, .capacity = 4096},
///                                 heed::rotary(rope));
///     cache.append(k, v);                                         // [batch, kv_heads, N, dim]
///     auto o = heed::attention(q, cache, heed::causal);           // [batch, heads, N, dim]
///
/// What acts on keys is a part of the cache and happens once, when they are appended: a position
/// encoding, which then also turns the queries of every call, heed::key_bias, heed::key_norm. Key j
/// of a sequence stands at j.
///
/// Pages of 256 keys of a head (128 of doubles) are shared by sequences with a common beginning,
/// and copied when one of them writes. Memory is taken when a sequence passes a multiple of 256
/// beyond `capacity`, and never otherwise. One thread may change a cache; any number may read it
/// meanwhile changes are not made.
template <storage_type Storage>
class kv_cache {
  public:
    using cached_scalar = computed_scalar<Storage>;  ///< in which it takes and gives numbers

    /// argument_error where an option is out of its range, shape_error where a part does not suit.
    template <class... Parts>
    explicit kv_cache(const kv_cache_options& options, Parts&&... parts)
        : options_(detail::checked(options, layout::has_scales)) {
        if constexpr (detail::check_key_parts<std::remove_cvref_t<Parts>...>()) {
            using parts_type = detail::key_parts_of<cached_scalar, std::remove_cvref_t<Parts>...>;
            parts_ = std::make_unique<parts_type>(std::forward<Parts>(parts)...);
            detail::require_argument(!values_in_keys() || sizeof...(Parts) == 0,
                                     "heed::kv_cache: values_in_keys is true, but parts that act "
                                     "on keys would act on their values");
            detail::require_argument(
                options_.arithmetic != integer_dot || parts_->maps == 1,
                "heed::kv_cache: arithmetic is integer_dot, which takes no rectified encoding");
            parts_->check(shape_of(0, 0, 0));
            layout_ =
                std::make_unique<layout>(dim(), value_dim(), static_cast<index>(parts_->maps),
                                         values_in_keys(), options_.key_scales == per_channel);
            pool_ = std::make_unique<detail::page_pool>(layout_->bytes());
            sequences_.resize(static_cast<std::size_t>(batch()));
            reserve(options.capacity.value);
        }
    }

    index batch() const noexcept { return options_.batch.value; }
    index kv_heads() const noexcept { return options_.kv_heads.value; }
    index dim() const noexcept { return options_.dim.value; }
    index value_dim() const noexcept { return options_.value_dim.value; }
    index window() const noexcept { return options_.window.value; }
    bool values_in_keys() const noexcept { return options_.values_in_keys; }

    /// Appends k [batch, kv_heads, N, dim] and v [batch, kv_heads, N, value_dim]. shape_error where
    /// they are no such tensors; argument_error, with std::int8_t, for what is not finite. If it
    /// throws, the cache is as it was.
    template <tensor_like K, tensor_like V>
    void append(const K& k, const V& v) {
        check_takes_values();
        append_all(k, v, 0, batch(), [n = rows_of_tensor(k)](index) { return n; });
    }
    /// Appends k alone, whose first value_dim numbers are the values: with values_in_keys, and only
    /// then.
    template <tensor_like K>
    void append(const K& k) {
        detail::require_argument(values_in_keys(),
                                 "append: v is not given, but only a cache with values_in_keys "
                                 "finds it in k");
        const auto held = detail::evaluate("k", k);
        const auto keys = detail::rank4(held.view());
        auto values = keys;
        values.extents[3] = std::min(value_dim(), keys.extents[3]);
        append_all(keys, values, 0, batch(), [n = keys.extents[2]](index) { return n; });
    }
    /// The first counts[b] rows of sequence b, the others being padding: any vector of integers.
    template <tensor_like K, tensor_like V, detail::vector_like Counts>
    void append(const K& k, const V& v, const Counts& counts) {
        check_takes_values();
        const auto given = detail::checked_vector("the counts", counts);
        const index rows = rows_of_tensor(k);
        detail::require_shape(given.extents[0] == batch(), "there are ", given.extents[0],
                              " counts, but the cache has ", batch(), " sequences");
        for (index b = 0; b < batch(); ++b)
            detail::require_argument(
                std::cmp_greater_equal(given(b), 0) && std::cmp_less_equal(given(b), rows),
                "the count of sequence ", b, " is ", given(b),
                ", but must lie between 0 and the rows of k, ", rows);
        append_all(k, v, 0, batch(), [&](index b) { return static_cast<index>(given(b)); });
    }
    /// k [kv_heads, N, dim] and v [kv_heads, N, value_dim] to one sequence.
    template <std::integral Sequence, tensor_like K, tensor_like V>
    void append(Sequence sequence, const K& k, const V& v) {
        check_takes_values();
        append_all(k, v, checked_sequence(sequence), 1,
                   [n = rows_of_tensor(k)](index) { return n; });
    }

    /// Keys of a sequence, those forgotten included: where the next one will stand.
    template <std::integral Sequence>
    index length(Sequence sequence) const {
        return at(checked_sequence(sequence)).length;
    }
    /// Of the longest sequence.
    index length() const {
        index most = 0;
        for (const auto& sequence : sequences_) most = std::max(most, sequence.length);
        return most;
    }
    /// The first key behind the `keep_first` ones that has not been forgotten.
    template <std::integral Sequence>
    index first_kept(Sequence sequence) const {
        return at(checked_sequence(sequence)).first_kept;
    }

    /// Takes back the last tokens of a sequence, down to this length. argument_error if that is
    /// more than there are, or less than what has been forgotten.
    template <std::integral Sequence, std::integral Length>
    void truncate(Sequence sequence, Length length) {
        auto& one = at(checked_sequence(sequence));
        detail::require_argument(std::cmp_greater_equal(length, one.first_kept) &&
                                     std::cmp_less_equal(length, one.length),
                                 "truncate: the length is ", length, ", but must lie between ",
                                 one.first_kept, " and ", one.length, ", the keys of sequence ",
                                 sequence, " that are kept");
        one.length = static_cast<index>(length);
        drop(one, blocks_of(one.length) * kv_heads(), static_cast<index>(one.pages.size()));
        one.pages.resize(static_cast<std::size_t>(blocks_of(one.length) * kv_heads()));
    }
    /// Forgets all of a sequence.
    template <std::integral Sequence>
    void clear(Sequence sequence) {
        forget(at(checked_sequence(sequence)));
    }
    /// Forgets all of all sequences; the memory stays.
    void clear() {
        for (auto& sequence : sequences_) forget(sequence);
    }

    /// Memory for sequences of so many keys each, at once. Throws std::bad_alloc.
    template <std::integral Keys>
    void reserve(Keys keys) {
        const index most = options_.window.value == unlimited
                               ? detail::to_index(keys)
                               : std::min(detail::to_index(keys), most_kept());
        index held = 0;
        for (auto& sequence : sequences_) {
            sequence.pages.reserve(static_cast<std::size_t>(blocks_of(most) * kv_heads()));
            for (const auto* page : sequence.pages) held += page != nullptr ? 1 : 0;
        }
        pool_->require(batch() * kv_heads() * blocks_of(most) - held);
    }
    /// Bytes of all pages, in use or not.
    std::size_t bytes() const { return pool_->bytes(); }

    /// `to` becomes the first `length` keys of `from`, whose pages it shares. argument_error if
    /// there are not so many, or some have been forgotten beyond what `to` would see.
    template <std::integral From, std::integral To, std::integral Length>
    void share_prefix(From from, To to, Length length) {
        const auto& source = at(checked_sequence(from));
        auto& target = at(checked_sequence(to));
        detail::require_argument(std::cmp_greater_equal(length, source.first_kept) &&
                                     std::cmp_less_equal(length, source.length),
                                 "share_prefix: the length is ", length, ", but must lie between ",
                                 source.first_kept, " and ", source.length,
                                 ", the keys of sequence ", from, " that are kept");
        if (&source == &target) return truncate(from, length);
        const index pages = blocks_of(static_cast<index>(length)) * kv_heads();
        detail::stored_sequence shared{static_cast<index>(length),
                                       source.first_kept,
                                       {source.pages.begin(), source.pages.begin() + pages}};
        shared.pages.reserve(target.pages.capacity());
        own(shared);
        forget(target);
        std::swap(target, shared);
    }
    /// Sequence b becomes what sequence beams[b] was, for all at once: any vector of `batch`
    /// integers.
    template <detail::vector_like Beams>
    void reorder(const Beams& beams) {
        const auto given = detail::checked_vector("the beams", beams);
        detail::require_shape(given.extents[0] == batch(), "there are ", given.extents[0],
                              " beams, but the cache has ", batch(), " sequences");
        for (index b = 0; b < batch(); ++b)
            detail::require_argument(
                std::cmp_greater_equal(given(b), 0) && std::cmp_less(given(b), batch()), "beam ", b,
                " is ", given(b), ", but must be a sequence, 0 to ", batch() - 1);
        std::vector<detail::stored_sequence> chosen;
        for (index b = 0; b < batch(); ++b) {
            chosen.push_back(at(static_cast<index>(given(b))));
            chosen.back().pages.reserve(at(b).pages.capacity());
        }
        for (const auto& sequence : chosen) own(sequence);
        clear();
        std::swap(sequences_, chosen);
    }

    /// Keys first … first + count − 1 of a head, as they are stored, encoded: k [count, dim], and
    /// the values v [count, value_dim].
    template <std::integral Sequence, std::integral Head, tensor_like K, tensor_like V>
    void read(Sequence sequence, Head head, index first, index count, K&& k, V&& v) const {
        const auto& one = at(checked_sequence(sequence));
        detail::require_argument(std::cmp_greater_equal(head, 0) && std::cmp_less(head, kv_heads()),
                                 "read: the head is ", head, ", but must lie between 0 and ",
                                 kv_heads() - 1);
        detail::require_argument(first >= 0 && count >= 0 && first <= one.length - count &&
                                     (count == 0 || first >= one.first_kept ||
                                      first + count <= std::min(keep_first(), one.length)),
                                 "read: keys ", first, " to ", first + count - 1, " of sequence ",
                                 sequence, " are not all kept: it has ", one.length,
                                 ", and has forgotten those before ", one.first_kept,
                                 " but for the first ", keep_first());
        const auto to_k = detail::view_of(std::forward<K>(k));
        const auto to_v = detail::view_of(std::forward<V>(v));
        static_assert(rank_of<K> == 2 && rank_of<V> == 2 &&
                          std::is_same_v<scalar_of<K>, cached_scalar> &&
                          std::is_same_v<scalar_of<V>, cached_scalar>,
                      "heed: read writes to matrices of the scalar that the cache takes");
        check_rows("k", to_k, count, dim());
        check_rows("v", to_v, count, value_dim());
        arena& scratch = thread_workspace().slot(0);
        const arena::scope mark(scratch);
        auto* row = scratch.take<cached_scalar>(dim() + layout_->stride());
        for (index r = 0; r < count; ++r) {
            const index key = first + r;
            std::byte* page = page_at(one, key, static_cast<index>(head));
            layout_->read_key(page, 0, key % keys_a_page, row);
            for (index c = 0; c < dim(); ++c) to_k(r, c) = row[c];
            const auto* value = layout_->read_value(page, key % keys_a_page, row);
            for (index c = 0; c < value_dim(); ++c) to_v(r, c) = value[c];
        }
    }

    /// What calls of attention ask of a cache.
    class access;

  private:
    using layout = detail::page_layout<Storage>;
    static constexpr index keys_a_page = layout::keys_a_page;

    index keep_first() const noexcept { return options_.keep_first.value; }
    /// Keys of a sequence that a window keeps at most, but for those of one large append.
    index most_kept() const {
        return keep_first() + options_.window.value + options_.rewind.value +
               (2 + pages_behind()) * keys_a_page;
    }
    /// Pages that are kept behind the first key that is: the next page's factors are made of one.
    index pages_behind() const { return layout_->has_factors() ? 1 : 0; }
    static index blocks_of(index keys) { return detail::count_blocks(keys, keys_a_page); }

    attention_shape shape_of(index heads, index queries, index keys) const {
        return {.batch = batch(),
                .heads = heads,
                .kv_heads = kv_heads(),
                .queries = queries,
                .keys = keys,
                .dim = dim(),
                .value_dim = value_dim()};
    }

    template <std::integral Sequence>
    index checked_sequence(Sequence sequence) const {
        detail::require_argument(
            std::cmp_greater_equal(sequence, 0) && std::cmp_less(sequence, batch()),
            "the sequence is ", sequence, ", but must lie between 0 and ", batch() - 1);
        return static_cast<index>(sequence);
    }
    detail::stored_sequence& at(index sequence) {
        return sequences_[static_cast<std::size_t>(sequence)];
    }
    const detail::stored_sequence& at(index sequence) const {
        return sequences_[static_cast<std::size_t>(sequence)];
    }
    std::byte* page_at(const detail::stored_sequence& of, index key, index head) const {
        return of.pages[static_cast<std::size_t>(key / keys_a_page * kv_heads() + head)]->data;
    }

    void check_takes_values() const {
        detail::require_argument(!values_in_keys(),
                                 "append: v is given, but the cache has values_in_keys and takes k "
                                 "alone");
    }

    template <class X>
    static index rows_of_tensor(const X& x) {
        static_assert(rank_of<X> >= 2 && rank_of<X> <= 4,
                      "heed: a cache takes [sequence, dim], [heads, sequence, dim] or [batch, "
                      "heads, sequence, dim]");
        return detail::rank4(detail::evaluate(x).view()).extents[2];
    }
    template <class View>
    static void check_rows(std::string_view name, const View& x, index rows, index columns) {
        detail::check_view(name, x);
        detail::require_shape(x.extents[0] == rows && x.extents[1] == columns, name, " has shape ",
                              x.extents, ", but must have [", rows, ", ", columns, "]");
    }

    /// One owner more of each page of a sequence.
    static void own(const detail::stored_sequence& sequence) noexcept {
        for (auto* page : sequence.pages)
            if (page != nullptr) ++page->owners;
    }
    /// Pages first … last − 1 of a sequence are given back.
    void drop(detail::stored_sequence& sequence, index first, index last) noexcept {
        for (index i = first; i < last; ++i) {
            auto*& page = sequence.pages[static_cast<std::size_t>(i)];
            if (page != nullptr) pool_->give_back(page);
            page = nullptr;
        }
    }
    void forget(detail::stored_sequence& sequence) noexcept {
        drop(sequence, 0, static_cast<index>(sequence.pages.size()));
        sequence.pages.clear();
        sequence.length = sequence.first_kept = 0;
    }

    template <class K, class V, class Count>
    void append_all(const K& k, const V& v, index first_sequence, index sequences,
                    const Count& count);
    static void check_finite(std::string_view name, const tensor_view<const cached_scalar, 4>& x,
                             index batch, index count);
    index missing_pages(const detail::stored_sequence& sequence, index keys) const;
    void make_room(detail::stored_sequence& sequence, index keys);
    void forget_before_window(detail::stored_sequence& sequence) noexcept;
    void write(detail::stored_sequence& to, index batch, index count,
               const tensor_view<const cached_scalar, 4>& k,
               const tensor_view<const cached_scalar, 4>& v, arena& scratch);

    kv_cache_options options_;
    std::unique_ptr<detail::key_parts<cached_scalar>> parts_;
    std::unique_ptr<layout> layout_;
    std::unique_ptr<detail::page_pool> pool_;
    std::vector<detail::stored_sequence> sequences_;
};

}  // namespace heed::inline HEED_ARCHITECTURE

#include <heed/attention/caches/detail/append.hpp>
#include <heed/attention/caches/detail/cached_call.hpp>
