#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "stored_tensor.hpp"

namespace examples {

/// What a GGUF file says beside its tensors: numbers of every kind as doubles.
using gguf_value =
    std::variant<bool, double, std::string, std::vector<double>, std::vector<std::string>>;

/// A file of ggml's (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), version 2 or 3.
struct gguf_file {
    std::map<std::string, gguf_value> values;
    tensor_table tensors;  ///< as the file names them; their axes as everywhere: [rows, columns]

    /// A value that may be missing. Throws file_error, which names it, where it is of another kind.
    template <class Value>
    [[nodiscard]] const Value* find(const std::string& name) const {
        const auto found = values.find(name);
        if (found == values.end()) return nullptr;
        const auto* const value = std::get_if<Value>(&found->second);
        if (value == nullptr) throw_other_kind(name);
        return value;
    }
    /// One that must be there: throws file_error otherwise.
    template <class Value>
    [[nodiscard]] const Value& at(const std::string& name) const {
        if (const auto* const value = find<Value>(name)) return *value;
        throw_missing(name);
    }

  private:
    [[noreturn]] static void throw_other_kind(const std::string& name);
    [[noreturn]] static void throw_missing(const std::string& name);
};

/// Reads one. Throws file_error, which says what is wrong, for anything else: a file that is cut
/// short, counts and sizes that cannot be true, types that are not known, names that are there
/// twice, tensors that overlap. The tensors view `bytes`.
gguf_file read_gguf(std::span<const std::byte> bytes);

}  // namespace examples
