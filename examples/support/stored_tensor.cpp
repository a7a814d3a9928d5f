#include "stored_tensor.hpp"

#include <limits>

#include "file_error.hpp"

namespace examples {

namespace {

template <class Extents>
std::string text_of(const Extents& extents) {
    std::string text = "[";
    for (const auto extent : extents)
        text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
    return text + "]";
}

}  // namespace

std::string stored_tensor::shape() const { return text_of(extents); }

std::uint64_t bytes_of(const std::string& name, const number_format& format,
                       std::span<const std::uint64_t> extents) {
    // No product of theirs then passes 64 bits.
    constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max() / 64;
    std::uint64_t count = 1;
    bool empty = false;
    for (const std::uint64_t extent : extents) {
        if (extent > most || (extent != 0 && count > most / extent))
            throw file_error("tensor " + name + " of shape " + text_of(extents) +
                             " is larger than any file");
        if (extent == 0) empty = true;
        if (!empty) count *= extent;
    }
    if (empty) return 0;
    const std::uint64_t columns = extents.empty() ? 1 : extents.back();
    if (columns % format.block != 0)
        throw file_error("tensor " + name + " has rows of " + std::to_string(columns) +
                         " numbers, but " + format.name + " stores " +
                         std::to_string(format.block) + " together");
    return count / format.block * format.bytes;
}

void tensor_table::add(const std::string& name, stored_tensor tensor) {
    if (!tensors_.emplace(name, std::move(tensor)).second)
        throw file_error("there are two tensors " + name);
}

void tensor_table::merge(const tensor_table& other) {
    for (const auto& [name, tensor] : other) add(name, tensor);
}

const stored_tensor& tensor_table::at(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) throw file_error("there is no tensor " + name);
    return found->second;
}

void tensor_table::expect(const std::string& name, index rows, index columns) const {
    const stored_tensor& tensor = at(name);
    const std::vector<index> expected = tensor.extents.size() == 1
                                            ? std::vector<index>{columns}
                                            : std::vector<index>{rows, columns};
    if (tensor.extents != expected || (tensor.extents.size() == 1 && rows != 1))
        throw file_error(
            "tensor " + name + " is " + tensor.shape() + ", but the model needs " +
            text_of(rows == 1 ? std::vector<index>{columns} : std::vector<index>{rows, columns}));
    if (tensor.format->widen == nullptr)
        throw file_error("tensor " + name + " is stored as " + tensor.format->name +
                         ", which this program does not read as numbers of a model");
}

matrix tensor_table::weights(const std::string& name, index rows, index columns) const {
    expect(name, rows, columns);
    matrix result(rows, columns);
    const number_format& format = *at(name).format;
    format.widen(at(name).bytes.data(), result.data(),
                 static_cast<std::size_t>(rows * columns) / format.block);
    return result;
}

Eigen::VectorXf tensor_table::vector(const std::string& name, index size) const {
    return weights(name, 1, size).row(0).transpose();
}

void tensor_table::read_row(const std::string& name, index row, float* to) const {
    const stored_tensor& tensor = at(name);
    const number_format& format = *tensor.format;
    const std::size_t blocks =
        tensor.extents.empty() ? 1 : static_cast<std::size_t>(tensor.extents.back()) / format.block;
    const std::size_t bytes = blocks * format.bytes, at = static_cast<std::size_t>(row);
    if (row < 0 || bytes == 0 || at >= tensor.bytes.size() / bytes)
        throw file_error("tensor " + name + " is " + tensor.shape() + ", which has no row " +
                         std::to_string(row));
    format.widen(tensor.bytes.data() + at * bytes, to, blocks);
}

}  // namespace examples
