#pragma once

#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/layouts.hpp>
#include <heed/rows/lines.hpp>

/// \file
/// Parts of lines, their elements, and the numbers beside their rows, whatever the layout.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Elements first … first + length − 1.
template <class T>
contiguous_line<T> stretch_of(const contiguous_line<T>& line, index first, index length) {
    return {line.data + first, length};
}
template <class T>
strided_line<T> stretch_of(const strided_line<T>& line, index first, index length) {
    return {line.data + first * line.step, length, line.step};
}
template <class T>
lane_line<T> stretch_of(const lane_line<T>& line, index first, index length) {
    return {line.data + first * line.step, length, line.step, line.rows};
}

/// Element i of row r of the line.
template <class T>
T& element_of(const contiguous_line<T>& line, index i, index) {
    return line.data[i];
}
template <class T>
T& element_of(const strided_line<T>& line, index i, index) {
    return line.data[i * line.step];
}
template <class T>
T& element_of(const lane_line<T>& line, index i, index r) {
    return line.data[i * line.step + r];
}

template <class Line>
inline constexpr bool is_lane_line = false;
template <class T>
inline constexpr bool is_lane_line<lane_line<T>> = true;

/// Elements of a row in a vector of its line.
template <class Line>
inline constexpr index elements_a_vector = is_lane_line<Line> ? 1 : Line::vector::size;

/// Where in their rows the elements of vector `number` stand.
template <class Line>
typename Line::vector positions(index number) {
    using vector = typename Line::vector;
    if constexpr (is_lane_line<Line>)
        return vector(number);
    else
        return vector::iota() + vector(number * vector::size);
}

/// The rows of line l.
template <class Layout>
index rows_of_line(const Layout& layout, index l) {
    if constexpr (Layout::is_lanes)
        return layout.rows_of(l);
    else
        return 1;
}

/// Of operand I, one number a row, that of row r of line l.
template <std::size_t I, class Layout, class Number>
Number& number_of_row(const Layout& layout, Number* first, index l, index r) {
    if constexpr (Layout::is_lanes)
        return first[(l * Layout::size + r) * layout.row_steps[I]];
    else if constexpr (Layout::is_contiguous)
        return first[l * layout.row_steps[I]];
    else
        return *first;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
