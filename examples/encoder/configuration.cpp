#include "configuration.hpp"

#include <cmath>
#include <string>

namespace encoder {

using examples::field;
using examples::file_error;
using examples::find_field;
using examples::json;

configuration read_configuration(const json& config) {
    constexpr double largest = 1 << 24;  // no size of a model is beyond it, and products fit
    const auto size = [&](const char* name) {
        const auto value = field<double>(config, name);
        if (!(value >= 1 && value <= largest) || value != std::floor(value))
            throw file_error(std::string(name) + " is no whole number from 1 to " +
                             std::to_string(int(largest)));
        return static_cast<index>(value);
    };
    if (const auto type = field<std::string>(config, "model_type"); type != "bert")
        throw file_error("model_type is \"" + type + "\", but this program knows bert");
    if (const auto act = field<std::string>(config, "hidden_act"); act != "gelu")
        throw file_error("hidden_act is \"" + act + "\", but this program knows gelu");
    const auto positions = find_field<std::string>(config, "position_embedding_type");
    if (positions.value_or("absolute") != "absolute")
        throw file_error("position_embedding_type is \"" + *positions +
                         "\", but this program knows absolute");
    const configuration c{.vocabulary = size("vocab_size"),
                          .width = size("hidden_size"),
                          .inner = size("intermediate_size"),
                          .layers = size("num_hidden_layers"),
                          .heads = size("num_attention_heads"),
                          .longest = size("max_position_embeddings"),
                          .kinds = find_field<double>(config, "type_vocab_size")
                                       ? size("type_vocab_size")
                                       : 2,  // as transformers has it
                          .epsilon = field<double>(config, "layer_norm_eps")};
    if (c.width % c.heads != 0)
        throw file_error("hidden_size, " + std::to_string(c.width) + ", is not a whole number of " +
                         std::to_string(c.heads) + " heads");
    if (!(c.epsilon >= 0 && c.epsilon < 1))
        throw file_error("layer_norm_eps is " + std::to_string(c.epsilon));
    if (c.longest < 2) throw file_error("max_position_embeddings is below 2");
    return c;
}

}  // namespace encoder
