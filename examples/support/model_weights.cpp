#include "model_weights.hpp"

#include <set>
#include <string>

#include "json_file.hpp"
#include "safetensors.hpp"

namespace examples {

namespace {

/// The names of the parts. They are somebody else's, and must not lead out of the folder.
std::set<std::string> parts_of(const std::filesystem::path& index_file) {
    const mapped_file file(index_file);
    return in_file(index_file, [&] {
        std::set<std::string> names;
        const json content = parse_json(file.text());
        for (const auto& [tensor, part] : part_of(content, "weight_map").items()) {
            const auto name = value_of<std::string>(part, "the file of tensor " + tensor);
            if (name != std::filesystem::path(name).filename() || name == "..")
                throw file_error("the file \"" + name + "\" is not in this folder");
            names.insert(name);
        }
        if (names.empty()) throw file_error("weight_map names no file");
        return names;
    });
}

}  // namespace

model_weights open_safetensors(const std::filesystem::path& folder) {
    std::set<std::string> names{"model.safetensors"};
    const auto index_file = folder / "model.safetensors.index.json";
    if (!exists(folder / "model.safetensors") && exists(index_file)) names = parts_of(index_file);
    model_weights all;
    for (const std::string& name : names) {
        const auto path = folder / name;
        const mapped_file& file = all.files.emplace_back(path);
        in_file(path, [&] {
            all.tensors.merge(read_safetensors(file.bytes()));
            return true;
        });
    }
    return all;
}

}  // namespace examples
