#pragma once

#include <functional>
#include <string>
#include <vector>

#include <Eigen/Core>

/// \file
/// Every normaliser of heed's that has a picture in the gallery, by name.

namespace gallery {

using row = Eigen::RowVectorXf;

struct normaliser {
    std::string name;
    std::function<row(const row& scores)> probabilities;
};

/// In the order of the gallery; softmax is the first.
const std::vector<normaliser>& all_normalisers();

}  // namespace gallery
