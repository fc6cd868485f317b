#include "data/demo_phrases.h"

namespace fettle {
namespace {

using Words = std::string_view;

constexpr Words kTimes[] = {"six",  "seven",       "half past seven", "eight thirty",    "noon",     "6 am",
                            "7:15", "ten pm",      "5 o'clock",       "quarter to nine", "midnight", "4:45 pm",
                            "dawn", "eleven sharp"};
constexpr Words kDurations[] = {"ten minutes",
                                "5 minutes",
                                "half an hour",
                                "an hour",
                                "twenty minutes",
                                "90 seconds",
                                "two hours",
                                "45 minutes",
                                "a quarter of an hour",
                                "three and a half minutes"};
constexpr Words kDays[] = {"tomorrow",        "monday",         "friday",   "the weekend",
                           "next week",       "sunday",         "thursday", "the day after tomorrow",
                           "the 4th of july", "wednesday night"};
constexpr Words kTasks[] = {"call mom",
                            "buy milk",
                            "pick up the kids",
                            "water the plants",
                            "take my pills",
                            "send the report",
                            "feed the cat",
                            "pay the rent",
                            "book the dentist",
                            "renew my passport",
                            "return the library books",
                            "take out the trash",
                            "email the landlord"};
constexpr Words kCities[] = {"paris",  "boston", "seoul",  "london", "denver",  "tokyo",   "madrid",
                             "berlin", "miami",  "dublin", "oslo",   "chicago", "nairobi", "lisbon"};
constexpr Words kSongs[] = {"some jazz",
                            "the beatles",
                            "my workout playlist",
                            "classical music",
                            "something calm",
                            "the new taylor swift album",
                            "rock from the eighties",
                            "some lullabies",
                            "my road trip mix"};
constexpr Words kRooms[] = {"kitchen", "bedroom", "living room", "hallway", "bathroom",
                            "office",  "garage",  "porch",       "basement"};
constexpr Words kDegrees[] = {"20 degrees", "21",      "68 degrees", "nineteen degrees",
                              "72",         "seventy", "18 degrees", "twenty two"};
constexpr Words kRestaurants[] = {"the italian place", "luigi's",       "a sushi bar",
                                  "the steak house",   "golden dragon", "the thai restaurant",
                                  "chez marie",        "the taco stand"};
constexpr Words kPeople[] = {"two", "four", "six people", "3", "a party of five", "my wife and me", "eight guests"};
constexpr Words kFood[] = {"a large pizza", "two burgers", "pad thai",    "a veggie burrito", "some fried rice",
                           "chicken wings", "a poke bowl", "three tacos", "a tuna sandwich"};
constexpr Words kAccounts[] = {"checking account", "savings account", "checking",
                               "savings",          "joint account",   "main account"};
constexpr Words kAmounts[] = {"$100",   "fifty dollars", "200 bucks", "$20", "a thousand dollars",
                              "$75.50", "three hundred"};
constexpr Words kNames[] = {"my brother",  "anna",    "my landlord", "mike",
                            "my roommate", "grandma", "david",       "the babysitter"};
constexpr Words kBills[] = {"electric bill",    "phone bill",    "rent",     "water bill",
                            "credit card bill", "internet bill", "gas bill", "insurance"};
constexpr Words kCards[] = {"credit card", "debit card", "visa card", "bank card", "mastercard", "card"};
constexpr Words kPlaces[] = {
    "the airport", "downtown", "the nearest gas station", "central park", "work", "the train station", "the mall",
    "the stadium", "my hotel", "the city library"};
constexpr Words kLanguages[] = {"spanish", "french",   "italian",    "german",
                                "korean",  "japanese", "portuguese", "swedish"};
constexpr Words kSayings[] = {"good morning", "thank you",    "where is the bathroom", "how much is this",
                              "i love you",   "see you soon", "the bill please",       "happy birthday"};
constexpr Words kCurrencies[] = {"euros", "dollars", "yen", "pounds", "pesos", "won", "swiss francs", "rupees"};
constexpr Words kFlights[] = {"ba 212", "delta 88", "flight 417", "ua 1520", "the flight from denver", "lufthansa 430"};

constexpr DemoSlot kSlots[] = {
    {"time", kTimes, 11},    {"duration", kDurations, 8},  {"day", kDays, 8},
    {"task", kTasks, 10},    {"city", kCities, 10},        {"song", kSongs, 7},
    {"room", kRooms, 7},     {"degrees", kDegrees, 6},     {"restaurant", kRestaurants, 6},
    {"people", kPeople, 5},  {"food", kFood, 7},           {"account", kAccounts, 4},
    {"amount", kAmounts, 5}, {"name", kNames, 6},          {"bill", kBills, 6},
    {"card", kCards, 5},     {"place", kPlaces, 8},        {"language", kLanguages, 6},
    {"saying", kSayings, 6}, {"currency", kCurrencies, 6}, {"flight", kFlights, 4},
};

constexpr Words kOpenings[] = {"", "", "", "", "hey, ", "ok so ", "hi there, ", "listen, "};
constexpr Words kRequestOpenings[] = {
    "", "", "", "", "please ", "hey, ", "can you ", "could you please ", "i need you to ", "would you "};
constexpr Words kEndings[] = {"", "", "", "", "", "", " thanks", " please"};
constexpr Words kRequestEndings[] = {"", "", "", "", "", " please", " for me", " thanks", " right now", " if you can"};
constexpr Words kRequestVerbs[] = {
    "set",      "create",   "make",      "put",      "wake",     "add",      "cancel", "delete",  "remove",
    "turn",     "get",      "switch",    "start",    "count",    "begin",    "time",   "remind",  "show",
    "read",     "list",     "tell",      "give",     "play",     "skip",     "go",     "book",    "reserve",
    "order",    "place",    "check",     "track",    "transfer", "send",     "move",   "wire",    "pay",
    "take",     "settle",   "use",       "report",   "unblock",  "unfreeze", "unlock", "update",  "buy",
    "find",     "navigate", "translate", "say",      "convert",  "light",    "shut",   "heat",    "cool",
    "increase", "decrease", "lower",     "raise",    "call",     "drop",     "scrap",  "disable", "buzz",
    "alert",    "nudge",    "crank",     "brighten", "darken",   "change",   "point",  "teach",   "choose"};

}  // namespace

std::span<const DemoSlot> demo_slots() {
  return kSlots;
}
std::span<const std::string_view> demo_openings(bool request) {
  return request ? std::span<const Words>(kRequestOpenings) : kOpenings;
}
std::span<const std::string_view> demo_endings(bool request) {
  return request ? std::span<const Words>(kRequestEndings) : kEndings;
}
std::span<const std::string_view> demo_request_verbs() {
  return kRequestVerbs;
}

}  // namespace fettle
