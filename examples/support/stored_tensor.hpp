#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <Eigen/Core>

namespace examples {

using index = std::ptrdiff_t;

/// Row-major, so that a row is one token's numbers, side by side in memory.
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// How a file stores numbers: `block` of them in `bytes`.
struct number_format {
    const char* name;
    std::size_t block;
    std::size_t bytes;
    /// Makes floats of whole blocks; null where this program cannot.
    void (*widen)(const std::byte* from, float* to, std::size_t blocks);
};

/// Numbers in a file, [..., rows, columns], the last axis running fastest.
struct stored_tensor {
    const number_format* format = nullptr;
    std::vector<index> extents;
    std::span<const std::byte> bytes;

    [[nodiscard]] std::string shape() const;  ///< as "[32, 64]"
};

/// How many bytes a tensor takes. Throws file_error, which names it, where its sizes are too large
/// for any file, and where its rows are not whole blocks.
std::uint64_t bytes_of(const std::string& name, const number_format& format,
                       std::span<const std::uint64_t> extents);

/// The tensors of a model by name. They view the file, which must outlive them. What asks for one
/// throws file_error, which names it, if it is missing, of another shape, or of numbers that cannot
/// be made floats.
class tensor_table {
  public:
    /// Throws file_error where the name is taken.
    void add(const std::string& name, stored_tensor tensor);
    /// What another file of the same model has.
    void merge(const tensor_table& other);

    [[nodiscard]] bool has(const std::string& name) const { return tensors_.contains(name); }
    [[nodiscard]] const stored_tensor& at(const std::string& name) const;
    [[nodiscard]] auto begin() const { return tensors_.begin(); }
    [[nodiscard]] auto end() const { return tensors_.end(); }

    [[nodiscard]] matrix weights(const std::string& name, index rows, index columns) const;
    [[nodiscard]] Eigen::VectorXf vector(const std::string& name, index size) const;

    /// Throws file_error unless every row of the matrix could be read.
    void expect(const std::string& name, index rows, index columns) const;
    /// One row of a matrix that has been expected, alone: for tables too large to be copied. Throws
    /// file_error for a row that it does not have.
    void read_row(const std::string& name, index row, float* to) const;

  private:
    std::map<std::string, stored_tensor> tensors_;
};

}  // namespace examples
