#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/huge_pages.hpp>

/// \file
/// The memory of a cache: pages of one size that never move.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A block of keys and values of one head, in one piece.
struct cache_page {
    std::byte* data = nullptr;
    index owners = 0;      ///< sequences that hold it; who alone does may write to it
    bool finite = true;    ///< its values are free of NaN and infinities
    bool moderate = true;  ///< no sum of its weighted values can overflow
};

/// Pages, those that are free to be taken again among them. They lie on huge pages where there are
/// enough of them, and the system has some.
class page_pool {
  public:
    explicit page_pool(std::size_t page_bytes) : page_bytes_(page_bytes) {}
    ~page_pool() {
        for (const chunk& piece : chunks_)
            ::operator delete(piece.data, std::align_val_t(piece.alignment));
    }
    page_pool(const page_pool&) = delete;
    page_pool& operator=(const page_pool&) = delete;

    /// From now on so many pages can be taken without an allocation. Throws std::bad_alloc, and is
    /// as it was.
    void require(index free_pages) {
        const index missing = free_pages - static_cast<index>(free_.size());
        if (missing <= 0) return;
        // A huge page is filled with pages.
        const std::size_t wanted = static_cast<std::size_t>(missing) * page_bytes_;
        const bool is_huge = wanted >= huge_page;
        const std::size_t bytes =
            is_huge ? (wanted + huge_page - 1) / huge_page * huge_page : wanted;
        const std::size_t count = bytes / page_bytes_;
        chunks_.reserve(chunks_.size() + 1);
        free_.reserve(pages_ + count);
        const std::size_t alignment = is_huge ? huge_page : smallest_alignment;
        auto nodes = std::make_unique<cache_page[]>(count);
        auto* data = static_cast<std::byte*>(::operator new(bytes, std::align_val_t(alignment)));
        if (is_huge) advise_huge_pages(data, bytes);
        for (std::size_t i = count; i-- > 0;) {
            nodes[i].data = data + i * page_bytes_;
            free_.push_back(&nodes[i]);
        }
        chunks_.push_back({data, alignment, std::move(nodes)});
        pages_ += count;
        bytes_ += bytes;
    }

    /// A page full of zeros, with one owner, of those that were required.
    cache_page* take() noexcept {
        cache_page* page = free_.back();
        free_.pop_back();
        std::memset(page->data, 0, page_bytes_);
        page->owners = 1;
        page->finite = page->moderate = true;
        return page;
    }
    /// One owner less.
    void give_back(cache_page* page) noexcept {
        if (--page->owners == 0) free_.push_back(page);
    }

    std::size_t page_bytes() const noexcept { return page_bytes_; }
    /// Of all pages, free or not.
    std::size_t bytes() const noexcept { return bytes_; }

  private:
    static constexpr std::size_t smallest_alignment = 64;
    struct chunk {
        std::byte* data;
        std::size_t alignment;
        std::unique_ptr<cache_page[]> nodes;
    };

    std::size_t page_bytes_;  ///< a multiple of 64
    std::size_t pages_ = 0, bytes_ = 0;
    std::vector<chunk> chunks_;
    std::vector<cache_page*> free_;  ///< has room for all pages
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
