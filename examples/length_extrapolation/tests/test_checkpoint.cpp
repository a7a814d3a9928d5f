#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include "checkpoint.hpp"
#include "error.hpp"
#include "support/catch.hpp"

/// What has been trained comes back to the bit, or not at all.

namespace length_extrapolation {

namespace test_checkpoint {

class checkpoint_of_a_test {
  public:
    ~checkpoint_of_a_test() {
        std::error_code ignored;
        std::filesystem::remove(file, ignored);
    }
    const std::filesystem::path file =
        std::filesystem::temp_directory_path() / ("heed_checkpoint_" + std::to_string(getpid()));
    const checkpoint_header header{
        "plain", {.vocabulary = 3, .layers = 2, .heads = 1, .width = 4, .context = 8}, 77, 12, 1.5};
    const char_lm::flat_vector<float> parameters{1.5F, -0.0F, 1e-40F, 3e38F, 0.1F};
};

std::string refusal(const checkpoint_of_a_test& saved, const checkpoint_header& expected,
                    std::size_t count) {
    char_lm::flat_vector<float> parameters(count);
    try {
        load_checkpoint(saved.file, expected, parameters);
    } catch (const char_lm::failure& failure) {
        return failure.what();
    }
    return "";
}

TEST_CASE("a checkpoint comes back to the bit, with what it says of itself") {
    const checkpoint_of_a_test saved;
    save_checkpoint(saved.file, saved.header, saved.parameters);
    auto expected = saved.header;
    expected.steps = 0;
    expected.seconds = 0;
    char_lm::flat_vector<float> parameters(5);
    const auto header = load_checkpoint(saved.file, expected, parameters);
    CHECK((parameters == saved.parameters));
    CHECK(std::signbit(parameters[1]));
    CHECK(header.steps == 12);
    CHECK(header.seconds == 1.5);
}

TEST_CASE("a checkpoint of another model or text, or a broken one, is refused") {
    const checkpoint_of_a_test saved;
    using Catch::Matchers::Contains;
    CHECK_THAT(refusal(saved, saved.header, 5), Contains("there is no checkpoint"));
    save_checkpoint(saved.file, saved.header, saved.parameters);

    auto other = saved.header;
    other.model = "hwfa";
    CHECK_THAT(refusal(saved, other, 5), Contains("has model plain, but model hwfa is asked for"));
    other = saved.header;
    other.text = 78;
    CHECK_THAT(refusal(saved, other, 5), Contains("has text 77, but text 78"));
    other = saved.header;
    other.sizes.width = 8;
    CHECK_THAT(refusal(saved, other, 5), Contains("has width 4, but width 8"));
    CHECK_THAT(refusal(saved, saved.header, 6), Contains("has parameters 5, but parameters 6"));

    std::filesystem::resize_file(saved.file, std::filesystem::file_size(saved.file) - 1);
    CHECK_THAT(refusal(saved, saved.header, 5), Contains("is not whole"));
    std::ofstream(saved.file) << "something else\n";
    CHECK_THAT(refusal(saved, saved.header, 5), Contains("is not a checkpoint"));
}

TEST_CASE("fingerprints tell texts apart") {
    const char_lm::token one[]{1, 2, 3}, other[]{1, 3, 2};
    CHECK(fingerprint(one) != fingerprint(other));
    CHECK(fingerprint(one) == fingerprint(std::span(one)));
    CHECK(fingerprint({}) != fingerprint(one));
}

}  // namespace test_checkpoint
}  // namespace length_extrapolation
