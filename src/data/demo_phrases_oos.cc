#include "data/demo_phrases.h"

namespace fettle {
namespace {

using Phrase = std::string_view;

constexpr Phrase kPhrases[] = {
    "what is the meaning of life",
    "who won the (game|match) last night",
    "tell me a joke",
    "how tall is the eiffel tower",
    "what should i wear to a wedding",
    "(how|when) was the moon formed",
    "do you like (dogs|cats|jazz|{city})",
    "write me a poem about {city}",
    "how do i fix a (leaking tap|flat tire|broken zipper)",
    "what is the capital of (peru|kenya|norway)",
    "(who|what) (is|was) (napoleon|the first astronaut|the president of france)",
    "how many calories are in {food}",
    "what's a good recipe for (lasagna|pancakes|soup)",
    "why is the sky blue",
    "can you recommend a (book|movie|podcast)",
    "how old are you",
    "what is the square root of (144|two hundred)",
    "my (dog|knee|tooth) hurts, what can i do",
    "how do i learn {language} fast",
    "what time does {restaurant} close",
    "is {restaurant} any good",
    "how do i (apply for a mortgage|invest {amount}|file my taxes)",
    "what interest does my {account} pay",
    "how many people live in {city}",
    "when was {city} founded",
    "who sings this song",
    "how do i clean the {room} floor",
    "open a new {account}",
    "what's the limit on my {card}",
};
constexpr Phrase kHeldOut[] = {
    "how far is the sun",
    "which {language} verbs are irregular",
    "what does {food} contain",
    "is {name} older than me",
    "paint the {room} in blue, good idea",
    "how do bees make honey",
    "can my {card} earn me air miles",
    "should i buy a house in {city}",
    "why are {currency} called that",
    "how does an alarm clock work",
    "what is the boiling point of water",
    "are umbrellas allowed on planes",
    "who invented the thermostat",
    "what is the best song ever written",
    "does {restaurant} have a dress code",
    "compare the prices of phones",
    "how do i become a pilot",
    "what's your favourite colour",
    "i feel sad today",
    "how do i grow tomatoes",
};

constexpr DemoIntent kOutOfScope{"oos", kPhrases, kHeldOut};

}  // namespace

const DemoIntent& demo_out_of_scope() {
  return kOutOfScope;
}

}  // namespace fettle
