#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/huge_pages.hpp>

/// \file
/// Scratch memory that is taken and given back like a stack, and kept for the next call.

namespace heed::inline HEED_ARCHITECTURE {

/// A stack of scratch memory in chunks that never move. When everything has been released, the
/// chunks are merged into one that holds all that was ever in use at once, so that the same use a
/// second time allocates nothing. Chunks of 2 MiB and more lie on huge pages, where the system has
/// them. One thread at a time may use an arena.
class alignas(64) arena {
  public:
    /// Where every piece begins, and what its size is rounded up to: a cache line, and the longest
    /// vector there is.
    static constexpr std::size_t alignment = 64;

    /// A height of the stack, to return to.
    struct position {
        std::size_t chunk = 0;
        std::size_t offset = 0;
        std::size_t used = 0;
    };

    /// Gives back, at the end of its life, what was taken since its beginning.
    class scope {
      public:
        explicit scope(arena& memory) : memory_(memory), start_(memory.mark()) {}
        ~scope() { memory_.release(start_); }
        scope(const scope&) = delete;
        scope& operator=(const scope&) = delete;

      private:
        arena& memory_;
        position start_;
    };

    arena() = default;
    ~arena() { free_chunks(); }
    arena(const arena&) = delete;
    arena& operator=(const arena&) = delete;

    /// Uninitialised memory for `count` numbers, aligned to 64 bytes, valid until the release of a
    /// mark made before. Throws std::bad_alloc.
    template <class T>
    T* take(index count) {
        static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>,
                      "an arena runs no constructors and no destructors");
        static_assert(alignof(T) <= alignment);
        constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 4 / sizeof(T);
        return static_cast<T*>(take_array(count, sizeof(T), most));
    }

    /// An object in such memory, whose end nobody sees.
    template <class X, class... Arguments>
    X& make(Arguments&&... arguments) {
        static_assert(std::is_trivially_destructible_v<X>, "an arena runs no destructors");
        static_assert(alignof(X) <= alignment);
        return *::new (take_array(1, sizeof(X), 1)) X{std::forward<Arguments>(arguments)...};
    }

    position mark() const noexcept { return {current_, offset_, used_}; }

    /// Gives back everything taken since the mark.
    void release(position mark) noexcept {
        current_ = mark.chunk;
        offset_ = mark.offset;
        used_ = mark.used;
        if (used_ == 0) merge();
    }

    /// Bytes in use.
    std::size_t used() const noexcept { return used_; }
    /// Bytes held, in use or not.
    std::size_t capacity() const noexcept { return capacity_; }

    /// The most bytes in use at once since watch_peak().
    std::size_t peak() const noexcept { return peak_; }
    void watch_peak() noexcept { peak_ = used_; }

    /// From the next time that nothing is in use, which may be now, that many bytes are at hand.
    void require(std::size_t bytes) noexcept {
        required_ = std::max(required_, bytes);
        if (used_ == 0) merge();
    }

    /// Returns all memory to the system. Nothing may be in use.
    void clear() noexcept {
        free_chunks();
        required_ = 0;
    }

  private:
    struct chunk {
        std::byte* data;
        std::size_t size;
    };
    static constexpr std::size_t smallest_chunk = 64 * 1024;

    static std::size_t round_up(std::size_t bytes) noexcept {
        return (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
    }

    /// Whether a chunk of this size lies on huge pages.
    static bool is_huge(std::size_t size) noexcept { return size >= detail::huge_page; }
    static std::align_val_t alignment_of(std::size_t size) noexcept {
        return std::align_val_t(is_huge(size) ? detail::huge_page : alignment);
    }

    // What takes and gives back is called from hundreds of places, once a tile at most: a call is
    // cheaper to compile than its text, and nobody sees it run.

    /// `count` objects, of which there may be `most`.
    [[gnu::noinline]] void* take_array(index count, std::size_t size, std::size_t most) {
        if (count < 0 || static_cast<std::size_t>(count) > most) throw std::bad_array_new_length();
        const std::size_t bytes = round_up(static_cast<std::size_t>(count) * size);
        while (current_ < chunks_.size() && chunks_[current_].size - offset_ < bytes) {
            ++current_;  // the rest of this chunk stays empty until it is released
            offset_ = 0;
        }
        if (current_ == chunks_.size()) add_chunk(std::max({bytes, capacity_, smallest_chunk}));
        std::byte* piece = chunks_[current_].data + offset_;
        offset_ += bytes;
        used_ += bytes;
        peak_ = std::max(peak_, used_);
        required_ = std::max(required_, used_);
        return piece;
    }

    void add_chunk(std::size_t size) {
        if (is_huge(size))
            size = (size + detail::huge_page - 1) / detail::huge_page * detail::huge_page;
        chunks_.reserve(chunks_.size() + 1);
        auto* data = static_cast<std::byte*>(::operator new(size, alignment_of(size)));
        if (is_huge(size)) detail::advise_huge_pages(data, size);
        chunks_.push_back({data, size});
        capacity_ += size;
    }

    /// One chunk that holds all that is required. If there is no memory for it, the next take
    /// says so.
    [[gnu::noinline]] void merge() noexcept {
        if (chunks_.size() <= 1 && capacity_ >= required_) return;
        free_chunks();
        try {
            add_chunk(required_);
        } catch (const std::bad_alloc&) {
        }
    }

    void free_chunks() noexcept {
        for (chunk piece : chunks_) ::operator delete(piece.data, alignment_of(piece.size));
        chunks_.clear();
        current_ = offset_ = capacity_ = 0;
    }

    std::vector<chunk> chunks_;
    std::size_t current_ = 0;   // the chunk that the next piece comes from; later ones are empty
    std::size_t offset_ = 0;    // in that chunk
    std::size_t used_ = 0;      // by pieces, without what was left empty at the ends of chunks
    std::size_t capacity_ = 0;  // of all chunks
    std::size_t peak_ = 0;      // the largest used_ since watch_peak()
    std::size_t required_ = 0;  // the largest used_ ever
};

}  // namespace heed::inline HEED_ARCHITECTURE
