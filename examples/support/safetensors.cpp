#include "safetensors.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "byte_reader.hpp"
#include "json_file.hpp"
#include "number_formats.hpp"

namespace examples {

namespace {

constexpr std::uint64_t longest_header = 100'000'000;  // of the format

const number_format& format_of(const std::string& tensor, std::string_view type) {
    static constexpr number_format formats[] = {
        {"F32", 1, 4, widen_numbers<float>},
        {"F16", 1, 2, widen_numbers<Eigen::half>},
        {"BF16", 1, 2, widen_numbers<Eigen::bfloat16>},
        {"F64", 1, 8, nullptr},  // these occur, though not as weights that are used here
        {"I64", 1, 8, nullptr},
        {"U64", 1, 8, nullptr},
        {"I32", 1, 4, nullptr},
        {"U32", 1, 4, nullptr},
        {"I16", 1, 2, nullptr},
        {"U16", 1, 2, nullptr},
        {"I8", 1, 1, nullptr},
        {"U8", 1, 1, nullptr},
        {"BOOL", 1, 1, nullptr},
        {"F8_E4M3", 1, 1, nullptr},
        {"F8_E5M2", 1, 1, nullptr},
    };
    for (const number_format& format : formats)
        if (type == format.name) return format;
    throw file_error("tensor " + tensor + " has the type " + std::string(type) +
                     ", which is not known");
}

/// Where the bytes of a tensor lie, for whether they follow one another.
struct place {
    std::uint64_t begin, end;
    std::string name;
};

std::vector<std::uint64_t> numbers_of(const json& entry, const char* name, const std::string& of) {
    const json& list = part_of(entry, name);
    if (!list.is_array()) throw file_error("tensor " + of + " has no list " + name);
    std::vector<std::uint64_t> numbers;
    for (const json& number : list) {
        if (!number.is_number_unsigned())
            throw file_error("tensor " + of + ": " + name + " holds " +
                             (number.is_number() ? number.dump() : "what is no number") +
                             ", which is no size");
        numbers.push_back(number.get<std::uint64_t>());
    }
    return numbers;
}

/// One entry of the header: the tensor goes into the table, where it lies is given back.
place add_entry(tensor_table& tensors, const std::string& name, const json& entry,
                std::span<const std::byte> data) {
    if (!entry.is_object()) throw file_error("tensor " + name + " is described by no object");
    const number_format& format = format_of(name, field<std::string>(entry, "dtype"));
    const auto extents = numbers_of(entry, "shape", name);
    const auto offsets = numbers_of(entry, "data_offsets", name);
    if (offsets.size() != 2 || offsets[0] > offsets[1])
        throw file_error("tensor " + name + ": data_offsets are no beginning and end");
    if (offsets[1] > data.size())
        throw file_error("tensor " + name + " ends at byte " + std::to_string(offsets[1]) +
                         " of the data, which has " + std::to_string(data.size()) +
                         ": the file is cut short, or lies about offsets");
    const std::uint64_t needed = bytes_of(name, format, extents);
    if (needed != offsets[1] - offsets[0])
        throw file_error("tensor " + name + " has " + std::to_string(offsets[1] - offsets[0]) +
                         " bytes, but its shape needs " + std::to_string(needed));
    stored_tensor tensor{
        &format, {extents.begin(), extents.end()}, data.subspan(offsets[0], needed)};
    tensors.add(name, std::move(tensor));
    return {offsets[0], offsets[1], name};
}

void expect_one_behind_the_other(std::vector<place> places, std::uint64_t size) {
    std::sort(places.begin(), places.end(), [](const place& a, const place& b) {
        return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    places.push_back({size, size, "(the end)"});
    std::uint64_t end = 0;
    for (const place& now : places) {
        if (now.begin != end)
            throw file_error("tensor " + now.name + " begins at byte " + std::to_string(now.begin) +
                             " of the data, but the one before it ends at " + std::to_string(end) +
                             ": tensors must neither overlap nor leave a gap");
        end = now.end;
    }
}

}  // namespace

tensor_table read_safetensors(std::span<const std::byte> bytes) {
    byte_reader reader(bytes);
    const auto length = reader.number<std::uint64_t>("the length of the header");
    if (length > longest_header)
        throw file_error("the header has " + std::to_string(length) + " bytes, but at most " +
                         std::to_string(longest_header) + " are allowed: no safetensors file?");
    const auto header = reader.take(length, "the header");
    const auto data = bytes.subspan(reader.position());

    const json entries = parse_json({reinterpret_cast<const char*>(header.data()), header.size()});
    if (!entries.is_object()) throw file_error("the header is no object");
    tensor_table tensors;
    std::vector<place> places;
    for (const auto& [name, entry] : entries.items())
        if (name != "__metadata__") places.push_back(add_entry(tensors, name, entry, data));
    expect_one_behind_the_other(std::move(places), data.size());
    return tensors;
}

}  // namespace examples
