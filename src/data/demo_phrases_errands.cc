#include "data/demo_phrases_parts.h"

namespace fettle {
namespace {

using Phrase = std::string_view;

constexpr Phrase kBookTable[] = {
    "(book|reserve) a table (for {people}|) at {restaurant} (at {time}|on {day}|)",
    "make a reservation (at|for) {restaurant} for {people}",
    "i('d like| want) a table for {people} (at {time}|on {day})",
    "get us a table at {restaurant} (on {day}|at {time}|)",
    "reserve {restaurant} for {people} (on {day}|at {time})",
    "can we eat at {restaurant} on {day}, table for {people}",
    "dinner reservation for {people} at {time}",
};
constexpr Phrase kBookTableHeldOut[] = {
    "we are {people} and want to dine at {restaurant} on {day}",
    "see if {restaurant} has room for {people}",
    "find us seats at {restaurant} {day}",
};
constexpr Phrase kCancelBooking[] = {
    "cancel (my|the|our) (reservation|table) at {restaurant}",
    "(cancel|drop) (my|our) (dinner|table) reservation (for {day}|)",
    "i (want|need) to cancel my reservation (for|on) {day}",
    "call off the table at {restaurant}",
    "we can't make it to {restaurant}, cancel (it|the table)",
    "delete (my|our) booking at {restaurant}",
    "i no longer need the table for {people}",
};
constexpr Phrase kCancelBookingHeldOut[] = {
    "tell {restaurant} we're not coming on {day}",
    "give up our table at {restaurant}",
    "something came up, no dinner at {restaurant}",
};
constexpr Phrase kOrderFood[] = {
    "(order|get) (me|us|) {food} (from {restaurant}|)",
    "i('d like| want) to order {food}",
    "(order|have) {food} delivered (at {time}|to {place}|)",
    "i('m hungry, order| want) {food}",
    "place an order for {food} (at|from) {restaurant}",
    "get {food} delivered from {restaurant}",
    "can i have {food} (from {restaurant}|)",
};
constexpr Phrase kOrderFoodHeldOut[] = {
    "i'm starving, {food} would be great",
    "send someone over with {food}",
    "the usual from {restaurant}, {food}",
};
constexpr Phrase kOrderStatus[] = {
    "where is my (order|food|delivery)",
    "(when|how soon) will my (food|order|delivery) (arrive|get here|be here)",
    "track my (order|delivery)",
    "what's the status of my (order|food)",
    "has my (food|order) (left|shipped) yet",
    "how long until (my {food}|the food|my order) (arrives|gets here)",
    "is my (order|delivery) (late|on its way)",
};
constexpr Phrase kOrderStatusHeldOut[] = {
    "i ordered {food} an hour ago",
    "the driver with {food} isn't here yet",
    "shouldn't {restaurant} have delivered by now",
};
constexpr Phrase kAccountBalance[] = {
    "what's (my|the balance of my|the balance in my) {account} (balance|)",
    "how much (money|) (do i have|is) in my {account}",
    "(check|show|tell me) my (account|{account}) balance",
    "what is my (bank|{account}) balance",
    "do i have {amount} in my {account}",
    "how much money do i have (left|)",
    "balance of my {account}",
};
constexpr Phrase kAccountBalanceHeldOut[] = {
    "am i broke",
    "how rich am i in my {account}",
    "can i afford to spend {amount}",
};
constexpr Phrase kTransferMoney[] = {
    "transfer {amount} (from my {account} to my {account}|to {name})",
    "send {amount} to {name}",
    "move {amount} (from|to) my {account}",
    "(wire|pay) {name} {amount}",
    "i (need|want) to (send|transfer) {amount} to {name}",
    "put {amount} (in|into) my {account}",
    "make a transfer of {amount} to {name}",
};
constexpr Phrase kTransferMoneyHeldOut[] = {
    "i owe {name} {amount}, settle that",
    "shift {amount} over to {account}",
    "{name} should get {amount} from me",
};
constexpr Phrase kPayBill[] = {
    "pay (my|the) {bill}",
    "(i need|i want) to pay (my|the) {bill}",
    "make a payment on my {bill}",
    "pay {amount} (towards|on) my {bill}",
    "take care of my {bill}",
    "use my {account} to pay the {bill}",
    "settle the {bill} from my {account}",
};
constexpr Phrase kPayBillHeldOut[] = {
    "get my {bill} out of the way",
    "the {bill} came in, do the payment",
    "clear what i owe on my {bill}",
};
constexpr Phrase kBillDue[] = {
    "when is my {bill} due",
    "what('s| is) the due date (of|for) my {bill}",
    "by when (do|must) i have to pay (my|the) {bill}",
    "how (long|many days) do i have (left|) to pay my {bill}",
    "is my {bill} due (on {day}|soon|)",
    "what day (is|does) the {bill} (due|have to be paid)",
    "tell me when i have to pay the {bill}",
};
constexpr Phrase kBillDueHeldOut[] = {
    "am i late on my {bill}",
    "what's the last day for the {bill}",
    "does the {bill} have to be paid before {day}",
};
constexpr Phrase kCardLost[] = {
    "i (lost|can't find|misplaced) my {card}",  "my {card} (was stolen|is missing|is gone)",
    "report my {card} (lost|stolen|missing)",   "someone stole my {card}",
    "i think i left my {card} (in|at) {place}", "i need to report a (lost|stolen) {card}",
    "my wallet with my {card} is gone",
};
constexpr Phrase kCardLostHeldOut[] = {
    "my {card} isn't in my purse anymore",
    "a thief has my {card}",
    "no idea where i put my {card}",
};
constexpr Phrase kCardBlocked[] = {
    "why (is|was) my {card} (blocked|declined|frozen|locked)",
    "my {card} (was declined|doesn't work|got rejected) (at {restaurant}|)",
    "(unblock|unfreeze|unlock) my {card}",
    "my {card} is (blocked|frozen|locked)",
    "the store wouldn't take my {card}",
    "is there a (block|hold) on my {card}",
    "i can't pay with my {card}",
};
constexpr Phrase kCardBlockedHeldOut[] = {
    "{restaurant} refused my {card}",
    "get my {card} working again",
    "the machine spat out my {card}",
};
constexpr Phrase kChangePin[] = {
    "(change|reset) (my|the) pin (for my {card}|)",
    "i (forgot|don't remember) (my|the) pin (for my {card}|)",
    "i want a new pin (for my {card}|)",
    "what is my {card}('s|) pin",
    "set a new pin (on|for) my {card}",
    "how do i change my pin",
    "update the pin of my {card}",
};
constexpr Phrase kChangePinHeldOut[] = {
    "which four digits go with my {card}",
    "somebody saw my code, i need another one",
    "choose another secret number for my {card}",
};
constexpr Phrase kBookFlight[] = {
    "(book|find|get) (me|) a flight (to|from) {city} (on {day}|)",
    "i (want|need) to fly to {city} (on {day}|)",
    "(book|buy) a plane ticket to {city}",
    "flights from {city} to {city}",
    "find (me|) the cheapest flight to {city} (on|for) {day}",
    "i need a plane ticket from {city} to {city}",
    "reserve a seat on a flight to {city}",
};
constexpr Phrase kBookFlightHeldOut[] = {
    "get me to {city} by plane {day}",
    "i have to be in {city} on {day}, what can i fly",
    "how cheaply can i get from {city} to {city} by air",
};
constexpr Phrase kFlightStatus[] = {
    "is {flight} (on time|delayed|late)",
    "what's the status of {flight}",
    "when does {flight} (land|arrive|take off|board)",
    "has {flight} (landed|left|departed) (yet|)",
    "how late is {flight}",
    "(check|track) {flight}",
    "which gate does {flight} leave from",
};
constexpr Phrase kFlightStatusHeldOut[] = {
    "will {flight} make it by {time}",
    "my sister is on {flight}, when is she here",
    "any news on {flight}",
};
constexpr Phrase kDirections[] = {
    "how do i get to {place} (from {place}|)",
    "(give me|show me|) directions to {place}",
    "(take|navigate) me to {place}",
    "what's the (best|fastest|shortest) way to {place}",
    "how do i drive to {place}",
    "where is {place}",
    "route to {place}",
};
constexpr Phrase kDirectionsHeldOut[] = {
    "i'm lost, i want to get to {place}",
    "which bus goes to {place}",
    "point me towards {place}",
};
constexpr Phrase kTraffic[] = {
    "how('s| is) (the|) traffic (to|on the way to|near) {place}",
    "is there (a lot of|any|heavy) traffic (to|near|on the way to) {place}",
    "(any|are there) (accidents|jams|delays) on the way to {place}",
    "what's the traffic like (to {place}|right now|)",
    "how (bad|heavy) is traffic (near {place}|)",
    "traffic report for {place}",
    "is the road to {place} (clear|blocked)",
};
constexpr Phrase kTrafficHeldOut[] = {
    "how long will it take to drive to {place} at {time}",
    "are people stuck on the way to {place}",
    "should i leave early for {place}",
};
constexpr Phrase kTranslate[] = {
    "(translate|say) {saying} (in|into|to) {language}",
    "how do (you|i) say {saying} in {language}",
    "what('s| is) {saying} in {language}",
    "what is the {language} (word|phrase) for {saying}",
    "(translate|put) {saying} into {language}",
    "i need to say {saying} in {language}",
};
constexpr Phrase kTranslateHeldOut[] = {
    "{saying}, what would a {language} speaker say",
    "teach me {saying} in {language}",
    "the {language} for {saying}",
};
constexpr Phrase kExchangeRate[] = {
    "what('s| is) the exchange rate (from|of|for) {currency} (to {currency}|)",
    "how (much|many {currency}) is {amount} in {currency}",
    "convert {amount} (to|into) {currency}",
    "how many {currency} do i get for {amount}",
    "{currency} to {currency} (rate|exchange rate|)",
    "what's the {currency} worth in {currency}",
    "current rate for {currency}",
};
constexpr Phrase kExchangeRateHeldOut[] = {
    "is it a good time to buy {currency}",
    "if i change {amount} what do i get in {currency}",
    "how strong are {currency} against {currency}",
};

constexpr DemoIntent kIntents[] = {
    {"book_table", kBookTable, kBookTableHeldOut},
    {"cancel_booking", kCancelBooking, kCancelBookingHeldOut},
    {"order_food", kOrderFood, kOrderFoodHeldOut},
    {"order_status", kOrderStatus, kOrderStatusHeldOut},
    {"account_balance", kAccountBalance, kAccountBalanceHeldOut},
    {"transfer_money", kTransferMoney, kTransferMoneyHeldOut},
    {"pay_bill", kPayBill, kPayBillHeldOut},
    {"bill_due", kBillDue, kBillDueHeldOut},
    {"card_lost", kCardLost, kCardLostHeldOut},
    {"card_blocked", kCardBlocked, kCardBlockedHeldOut},
    {"change_pin", kChangePin, kChangePinHeldOut},
    {"book_flight", kBookFlight, kBookFlightHeldOut},
    {"flight_status", kFlightStatus, kFlightStatusHeldOut},
    {"directions", kDirections, kDirectionsHeldOut},
    {"traffic", kTraffic, kTrafficHeldOut},
    {"translate", kTranslate, kTranslateHeldOut},
    {"exchange_rate", kExchangeRate, kExchangeRateHeldOut},
};

}  // namespace

std::span<const DemoIntent> demo_intents_errands() {
  return kIntents;
}

}  // namespace fettle
