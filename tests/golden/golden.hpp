#pragma once

#include <array>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include "../reference/tensor.hpp"

/// \file
/// Reads the vectors that make_*.py wrote to data/; golden_file.py describes their form.

namespace golden {

template <class T>
using tensor4 = Eigen::Tensor<T, 4, Eigen::RowMajor>;

/// Numbers of any rank, the last axis running fastest.
struct array {
    std::vector<std::ptrdiff_t> extents;
    std::vector<double> values;
};

/// What PyTorch was given and what it found.
class example {
  public:
    const array& operator[](const std::string& label) const { return find(arrays, label); }

    bool has(const std::string& label) const { return arrays.contains(label); }

    /// The root-mean-square error of PyTorch's own float32 result.
    double float32_error(const std::string& label) const { return find(errors, label); }

    /// The only number of an array of one.
    double number(const std::string& label) const { return (*this)[label].values.at(0); }

    /// As numbers of another type, such as lengths or positions.
    template <class T>
    std::vector<T> numbers(const std::string& label) const {
        std::vector<T> result;
        for (const double x : (*this)[label].values) result.push_back(static_cast<T>(x));
        return result;
    }

    /// As an Eigen tensor, row-major unless said otherwise.
    template <class T, int Rank, int Order = Eigen::RowMajor>
    Eigen::Tensor<T, Rank, Order> tensor(const std::string& label) const {
        const array& from = (*this)[label];
        if (static_cast<int>(from.extents.size()) != Rank)
            throw std::invalid_argument("array " + label + " has another rank");
        Eigen::array<Eigen::Index, static_cast<std::size_t>(Rank)> extents{}, reversed{}, order{};
        for (int axis = 0; axis < Rank; ++axis) {
            const auto a = static_cast<std::size_t>(axis),
                       z = static_cast<std::size_t>(Rank) - 1 - a;
            extents[a] = reversed[z] = from.extents[a];
            order[z] = axis;
        }
        Eigen::Tensor<T, Rank, Order> to(extents);
        if constexpr (Order == Eigen::RowMajor) {
            for (std::size_t e = 0; e < from.values.size(); ++e)
                to.data()[e] = static_cast<T>(from.values[e]);
        } else {
            Eigen::Tensor<T, Rank, Order> transposed(reversed);
            for (std::size_t e = 0; e < from.values.size(); ++e)
                transposed.data()[e] = static_cast<T>(from.values[e]);
            to = transposed.shuffle(order);
        }
        return to;
    }

    /// As a row-major matrix.
    template <class T, int Order = Eigen::RowMajor>
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Order> matrix(const std::string& label) const {
        const array& from = (*this)[label];
        if (from.extents.size() != 2)
            throw std::invalid_argument("array " + label + " is no matrix");
        return Eigen::Map<
                   const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
                   from.values.data(), from.extents[0], from.extents[1])
            .template cast<T>();
    }

    /// As the reference's, missing leading extents being 1.
    reference::tensor reference(const std::string& label) const {
        const array& from = (*this)[label];
        reference::tensor to;
        to.extents = {1, 1, 1, 1};
        const std::size_t missing = 4 - from.extents.size();
        for (std::size_t axis = missing; axis < 4; ++axis)
            to.extents[axis] = from.extents[axis - missing];
        to.values = from.values;
        return to;
    }

    std::map<std::string, array> arrays;
    std::map<std::string, double> errors;

  private:
    template <class T>
    static const T& find(const std::map<std::string, T>& all, const std::string& label) {
        const auto found = all.find(label);
        if (found == all.end()) throw std::out_of_range("the example has no " + label);
        return found->second;
    }
};

/// All examples of data/<name>.txt, by name.
inline std::map<std::string, example> read(const std::string& name) {
    const auto path = std::filesystem::path(HEED_GOLDEN_DATA) / (name + ".txt");
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path.string());

    std::map<std::string, example> examples;
    example* current = nullptr;
    std::string word, label;
    while (file >> word) {
        if (word.front() == '#') {
            std::getline(file, word);
        } else if (word == "example") {
            file >> label;
            current = &examples[label];
        } else if (word == "array" && current != nullptr) {
            std::size_t rank = 0, count = 1;
            file >> label >> rank;
            array& to = current->arrays[label];
            to.extents.resize(rank);
            for (auto& extent : to.extents) {
                file >> extent;
                count *= static_cast<std::size_t>(extent);
            }
            to.values.resize(count);
            for (double& value : to.values) {
                file >> word;  // strtod, since streams read no infinities
                value = std::strtod(word.c_str(), nullptr);
            }
        } else if (word == "float32_error" && current != nullptr) {
            file >> label;
            file >> current->errors[label];
        } else {
            throw std::runtime_error("cannot understand \"" + word + "\" in " + path.string());
        }
        if (!file) throw std::runtime_error(path.string() + " ends too early");
    }
    return examples;
}

/// One example of data/<name>.txt, which is read once.
inline const example& load(const std::string& name, const std::string& which) {
    static std::map<std::string, std::map<std::string, example>> files;
    if (!files.contains(name)) files[name] = read(name);
    const auto found = files[name].find(which);
    if (found == files[name].end()) throw std::out_of_range(name + ".txt has no example " + which);
    return found->second;
}

}  // namespace golden
