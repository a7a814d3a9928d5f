#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/file_error.hpp"
#include "support/random.hpp"

/// \file
/// Fuzzing: files with random damage. A reader takes one or refuses it by a file_error, and reads
/// nothing beyond its end: a page behind it ends the program, with or without a sanitizer.

namespace examples_test {

/// Bytes whose last one stands right before a page that cannot be read.
class guarded {
  public:
    explicit guarded(std::size_t most)
        : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))),
          size_((most + page_ - 1) / page_ * page_) {
        void* const place = mmap(nullptr, size_ + page_, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(place != MAP_FAILED);
        begin_ = static_cast<char*>(place);
        REQUIRE(mprotect(begin_ + size_, page_, PROT_NONE) == 0);
    }
    ~guarded() { munmap(begin_, size_ + page_); }
    guarded(const guarded&) = delete;
    guarded& operator=(const guarded&) = delete;

    std::string_view hold(const std::string& text) {
        char* const to = begin_ + size_ - text.size();
        std::memcpy(to, text.data(), text.size());
        return {to, text.size()};
    }

  private:
    std::size_t page_, size_;
    char* begin_ = nullptr;
};

/// One to four of: a byte that is another, a number that is extreme, bytes that are missing or
/// there twice, an end that comes early. Most of it where files say what they are: at their
/// beginning.
std::string damaged(std::string file, heed_test::generator& random) {
    const auto place = [&] {
        const auto end = static_cast<std::ptrdiff_t>(file.size());
        const auto chosen = random.integer(0, 3) == 0 ? end : std::min<std::ptrdiff_t>(end, 2000);
        return static_cast<std::size_t>(random.integer(0, chosen));
    };
    for (auto rounds = random.integer(1, 4); rounds > 0; --rounds) {
        const std::size_t at = place();
        switch (random.integer(0, 4)) {
            case 0:
                if (at < file.size()) file[at] = static_cast<char>(random.integer(0, 255));
                break;
            case 1: {
                const auto count = static_cast<std::size_t>(random.integer(1, 8));
                const char extreme = random.integer(0, 1) == 0 ? '\xFF' : '\0';
                for (std::size_t i = at; i < std::min(file.size(), at + count); ++i)
                    file[i] = extreme;
                break;
            }
            case 2:
                file.erase(at, static_cast<std::size_t>(random.integer(1, 16)));
                break;
            case 3:
                file.insert(at, file.substr(place(), 16));
                break;
            default:
                if (random.integer(0, 3) == 0) file.resize(at);
        }
    }
    return file;
}

/// `read` of many damaged files: some must be refused.
template <class Read>
void fuzz(const std::string& file, std::uint64_t stream, int rounds, Read&& read) {
    heed_test::generator random(stream);
    guarded memory(file.size() + 4 * 16);
    int refused = 0;
    for (int round = 0; round < rounds; ++round) {
        const std::string changed = damaged(file, random);
        try {
            read(memory.hold(changed));
        } catch (const examples::file_error&) {
            ++refused;
        } catch (const std::exception& error) {
            FAIL("round " << round << ": another error: " << error.what());
        }
    }
    INFO(refused << " of " << rounds);
    CHECK(refused > rounds / 20);
}

}  // namespace examples_test
