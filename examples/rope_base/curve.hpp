#pragma once

#include <filesystem>
#include <vector>

#include <heed/rope/base_selection.hpp>

/// \file
/// The bases found, as a file and as curves over the length.

namespace rope_base {

/// What has been found for one dim and one length.
struct point {
    heed::index dim = 0, length = 0;
    heed::rope::found_base least, lasting;
};

/// A line a point, below a line of names.
void write_csv(const std::filesystem::path& file, const std::vector<point>& points);

/// A curve for each dim, from what write_csv wrote. False if gnuplot is missing or fails.
bool draw_curves(const std::filesystem::path& picture, const std::filesystem::path& csv,
                 const std::vector<heed::index>& dims);

}  // namespace rope_base
