#include "gguf.hpp"

#include <algorithm>
#include <utility>

#include "byte_reader.hpp"
#include "file_error.hpp"
#include "number_formats.hpp"

namespace examples {

namespace {

/// By ggml's number of a type. What cannot be read here is known by its name all the same.
const number_format& format_of(const std::string& tensor, std::uint32_t type) {
    static const std::map<std::uint32_t, number_format> formats{
        {0, {"F32", 1, 4, widen_numbers<float>}},
        {1, {"F16", 1, 2, widen_numbers<Eigen::half>}},
        {2, {"Q4_0", 32, 18, widen_q4_0}},
        {3, {"Q4_1", 32, 20, nullptr}},
        {6, {"Q5_0", 32, 22, nullptr}},
        {7, {"Q5_1", 32, 24, nullptr}},
        {8, {"Q8_0", 32, 34, widen_q8_0}},
        {10, {"Q2_K", 256, 84, nullptr}},
        {11, {"Q3_K", 256, 110, nullptr}},
        {12, {"Q4_K", 256, 144, nullptr}},
        {13, {"Q5_K", 256, 176, nullptr}},
        {14, {"Q6_K", 256, 210, nullptr}},
        {24, {"I8", 1, 1, nullptr}},
        {25, {"I16", 1, 2, nullptr}},
        {26, {"I32", 1, 4, nullptr}},
        {27, {"I64", 1, 8, nullptr}},
        {28, {"F64", 1, 8, nullptr}},
        {30, {"BF16", 1, 2, widen_numbers<Eigen::bfloat16>}},
    };
    const auto found = formats.find(type);
    if (found == formats.end())
        throw file_error("tensor " + tensor + " has the type " + std::to_string(type) +
                         ", which is not known");
    return found->second;
}

enum value_type : std::uint32_t {
    uint8,
    int8,
    uint16,
    int16,
    uint32,
    int32,
    float32,
    boolean,
    text,
    list,
    uint64,
    int64,
    float64
};

double read_number(byte_reader& from, std::uint32_t type, const std::string& name) {
    switch (type) {
        case uint8:
            return from.number<std::uint8_t>(name);
        case int8:
            return from.number<std::int8_t>(name);
        case uint16:
            return from.number<std::uint16_t>(name);
        case int16:
            return from.number<std::int16_t>(name);
        case uint32:
            return from.number<std::uint32_t>(name);
        case int32:
            return from.number<std::int32_t>(name);
        case float32:
            return static_cast<double>(from.number<float>(name));
        case boolean:
            return from.number<std::uint8_t>(name) != 0 ? 1 : 0;
        case uint64:
            return static_cast<double>(from.number<std::uint64_t>(name));
        case int64:
            return static_cast<double>(from.number<std::int64_t>(name));
        case float64:
            return from.number<double>(name);
        default:
            throw file_error(name + " has the type " + std::to_string(type) +
                             ", which is not known");
    }
}

/// Elements are read one by one, so that a count that lies ends where the file does.
gguf_value read_value(byte_reader& from, const std::string& name) {
    const auto type = from.number<std::uint32_t>("the type of " + name);
    if (type == text) return from.text(name);
    if (type == boolean) return read_number(from, type, name) != 0;
    if (type != list) return read_number(from, type, name);
    const auto element = from.number<std::uint32_t>("the type of " + name);
    const auto count = from.number<std::uint64_t>("the length of " + name);
    if (element == text) {
        std::vector<std::string> texts;
        for (std::uint64_t i = 0; i < count; ++i) texts.push_back(from.text(name));
        return texts;
    }
    std::vector<double> numbers;
    for (std::uint64_t i = 0; i < count; ++i) numbers.push_back(read_number(from, element, name));
    return numbers;
}

/// What stands of a tensor before all tensors' bytes.
struct description {
    std::string name;
    const number_format* format;
    std::vector<std::uint64_t> extents;  ///< the last axis runs fastest
    std::uint64_t offset, bytes;
};

description read_description(byte_reader& from) {
    description tensor;
    tensor.name = from.text("the name of a tensor");
    const auto axes = from.number<std::uint32_t>("the axes of tensor " + tensor.name);
    if (axes > 4)
        throw file_error("tensor " + tensor.name + " has " + std::to_string(axes) +
                         " axes, but 4 is the most");
    for (std::uint32_t axis = 0; axis < axes; ++axis)
        tensor.extents.push_back(from.number<std::uint64_t>("an axis of tensor " + tensor.name));
    std::reverse(tensor.extents.begin(), tensor.extents.end());
    tensor.format =
        &format_of(tensor.name, from.number<std::uint32_t>("the type of tensor " + tensor.name));
    tensor.offset = from.number<std::uint64_t>("the offset of tensor " + tensor.name);
    tensor.bytes = bytes_of(tensor.name, *tensor.format, tensor.extents);
    return tensor;
}

std::uint64_t alignment_of(const gguf_file& file) {
    const auto* const given = file.find<double>("general.alignment");
    if (given == nullptr) return 32;
    if (!(*given >= 8 && *given <= 1 << 20) || *given != static_cast<double>(int(*given)) ||
        int(*given) % 8 != 0)
        throw file_error("general.alignment is no multiple of 8, from 8 to a million");
    return static_cast<std::uint64_t>(*given);
}

void expect_apart(std::vector<description> tensors) {
    std::sort(tensors.begin(), tensors.end(), [](const description& a, const description& b) {
        return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
    });
    for (std::size_t i = 1; i < tensors.size(); ++i)
        if (tensors[i].offset < tensors[i - 1].offset + tensors[i - 1].bytes)
            throw file_error("tensors " + tensors[i - 1].name + " and " + tensors[i].name +
                             " overlap");
}

}  // namespace

void gguf_file::throw_other_kind(const std::string& name) {
    throw file_error(name + " is of another kind than it must be");
}

void gguf_file::throw_missing(const std::string& name) { throw file_error("has no " + name); }

gguf_file read_gguf(std::span<const std::byte> bytes) {
    byte_reader reader(bytes);
    if (reader.number<std::uint32_t>("the first word") != 0x46554747)
        throw file_error("does not begin with GGUF");
    const auto version = reader.number<std::uint32_t>("the version");
    if (version != 2 && version != 3)
        throw file_error("is of version " + std::to_string(version) + ", but 2 and 3 are read");
    const auto tensor_count = reader.number<std::uint64_t>("the number of tensors");
    const auto value_count = reader.number<std::uint64_t>("the number of values");

    gguf_file file;
    for (std::uint64_t i = 0; i < value_count; ++i) {
        const std::string name = reader.text("the name of a value");
        if (!file.values.emplace(name, read_value(reader, name)).second)
            throw file_error("there are two values " + name);
    }
    std::vector<description> tensors;
    for (std::uint64_t i = 0; i < tensor_count; ++i) tensors.push_back(read_description(reader));

    const std::uint64_t alignment = alignment_of(file);
    const std::size_t begin = (reader.position() + alignment - 1) / alignment * alignment;
    const auto data = bytes.subspan(std::min(begin, bytes.size()));
    for (const description& t : tensors) {
        if (t.offset % alignment != 0)
            throw file_error("tensor " + t.name + " begins at byte " + std::to_string(t.offset) +
                             ", which is no multiple of " + std::to_string(alignment));
        if (t.offset > data.size() || t.bytes > data.size() - t.offset)
            throw file_error("tensor " + t.name + " has " + std::to_string(t.bytes) +
                             " bytes from byte " + std::to_string(t.offset) +
                             " of the data on, which has " + std::to_string(data.size()) +
                             ": the file is cut short, or lies about sizes");
        file.tensors.add(
            t.name,
            {t.format, {t.extents.begin(), t.extents.end()}, data.subspan(t.offset, t.bytes)});
    }
    expect_apart(std::move(tensors));
    return file;
}

}  // namespace examples
