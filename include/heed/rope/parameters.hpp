#pragma once

#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// The rope_parameters (once rope_scaling) dictionary of a model's configuration, in C++ types, and
/// how its fields are read.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// What a list can be made of: anything to iterate over that holds numbers, and is no text.
template <class Range>
concept range_of_numbers =
    !std::is_convertible_v<const Range&, std::string_view> && requires(const Range& range) {
    std::end(range);
    requires std::is_arithmetic_v<std::remove_cvref_t<decltype(*std::begin(range))>>;
    requires !std::is_same_v<std::remove_cvref_t<decltype(*std::begin(range))>, bool>;
};

}  // namespace detail

namespace rope {

/// A field's value: a number, a truth value, a text, a list of numbers, or null, which is as if the
/// field were missing. Made of any of them, and of a std::variant of them; a list is any range of
/// numbers (std::vector<int>, std::array<float, n>, a vector of Eigen's) or numbers in braces.
class parameter {
  public:
    using list = std::vector<double>;

    parameter(std::nullptr_t) {}  // NOLINT(google-explicit-constructor): as a value in braces
    parameter(std::monostate) {}  // NOLINT
    template <class X>
    requires std::is_arithmetic_v<X> parameter(X value) {  // NOLINT
        if constexpr (std::is_same_v<X, bool>) {
            kind_ = kind::truth;
            truth_ = value;
        } else {
            kind_ = kind::number;
            number_ = static_cast<double>(value);
        }
    }
    parameter(std::string text) : kind_(kind::text), text_(std::move(text)) {}  // NOLINT
    parameter(const char* text) : kind_(kind::text), text_(text) {}             // NOLINT
    parameter(std::string_view text) : kind_(kind::text), text_(text) {}        // NOLINT
    parameter(std::initializer_list<heed::detail::any_real> numbers)            // NOLINT
        : kind_(kind::list) {
        for (const heed::detail::any_real number : numbers) list_.push_back(number.value);
    }
    template <heed::detail::range_of_numbers Range>
    parameter(const Range& numbers) : kind_(kind::list) {  // NOLINT
        for (const auto number : numbers) list_.push_back(static_cast<double>(number));
    }
    template <class... Types>
    parameter(const std::variant<Types...>& any)  // NOLINT
        : parameter(std::visit([](const auto& x) { return parameter(x); }, any)) {}

    bool is_null() const { return kind_ == kind::null; }
    /// The value if it is an X: bool, double, std::string or list; otherwise a null pointer.
    template <class X>
    const X* get() const {
        if constexpr (std::is_same_v<X, bool>)
            return kind_ == kind::truth ? &truth_ : nullptr;
        else if constexpr (std::is_same_v<X, double>)
            return kind_ == kind::number ? &number_ : nullptr;
        else if constexpr (std::is_same_v<X, std::string>)
            return kind_ == kind::text ? &text_ : nullptr;
        else
            return kind_ == kind::list ? &list_ : nullptr;
    }

  private:
    // In members of their own, which cost less to compile than a std::variant.
    enum class kind { null, truth, number, text, list };

    kind kind_ = kind::null;
    bool truth_ = false;
    double number_ = 0;
    std::string text_;
    list list_;
};

/// The dictionary, by the usual names of its fields.
using parameters = std::map<std::string, parameter>;

}  // namespace rope

namespace detail {

/// What messages about a dictionary begin with.
inline constexpr const char* dictionary_prefix = "rope_parameters: ";

/// Reads the fields of a dictionary as what they must be. Its type is a parameter so that a program
/// compiles what reads dictionaries where it reads one.
template <class Dictionary>
class parameter_reader {
  public:
    explicit parameter_reader(const Dictionary& fields) : fields_(fields) {}

    std::optional<double> number(const char* name) {
        const auto* value = get<double>(name, "a number");
        return value != nullptr ? std::optional(*value) : std::nullopt;
    }
    std::optional<double> number(const char* name, double least) {
        const auto value = number(name);
        require_argument(!value || (*value >= least && std::isfinite(*value)), dictionary_prefix,
                         name, " is ", value.value_or(0), ", but it must be finite and at least ",
                         least);
        return value;
    }
    std::optional<bool> truth(const char* name) {
        const auto* value = get<bool>(name, "true or false");
        return value != nullptr ? std::optional(*value) : std::nullopt;
    }
    std::optional<std::string> text(const char* name) {
        const auto* value = get<std::string>(name, "a text");
        return value != nullptr ? std::optional(*value) : std::nullopt;
    }
    std::optional<std::vector<double>> list(const char* name) {
        const auto* value = get<std::vector<double>>(name, "a list of numbers");
        return value != nullptr ? std::optional(*value) : std::nullopt;
    }

    /// What was read, or an error that names the field.
    template <class X>
    static X required(std::optional<X> value, const char* name, std::string_view type) {
        require_argument(value.has_value(), dictionary_prefix, name,
                         " is missing, but rope_type \"", type, "\" needs it");
        return *std::move(value);
    }

    /// Whether the field is there and not null.
    bool has(const std::string& name) const {
        const auto found = fields_.find(name);
        return found != fields_.end() && !found->second.is_null();
    }

  private:
    template <class X>
    const X* get(const char* name, const char* kind) {
        if (!has(name)) return nullptr;
        const X* value = fields_.at(name).template get<X>();
        require_argument(value != nullptr, dictionary_prefix, name, " must be ", kind,
                         ", but it is something else");
        return value;
    }

    const Dictionary& fields_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
