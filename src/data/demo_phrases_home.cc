#include "data/demo_phrases_parts.h"

namespace fettle {
namespace {

using Phrase = std::string_view;

constexpr Phrase kSetAlarm[] = {
    "(set|create|make) an alarm for {time}",
    "(set|put) an alarm (at|for) {time} (tomorrow|on {day}|)",
    "wake me (up|) at {time}",
    "i (want|need) to (get up|wake up) at {time} (tomorrow|)",
    "alarm (at|for) {time}",
    "add a new alarm for {time} on {day}",
    "have the alarm go off at {time}",
    "i need an alarm for {day} at {time}",
};
constexpr Phrase kSetAlarmHeldOut[] = {
    "make sure i'm out of bed by {time}",
    "buzz me awake at {time}",
    "don't let me sleep past {time}",
};
constexpr Phrase kCancelAlarm[] = {
    "(cancel|delete|remove) (my|the) {time} alarm",
    "turn off the alarm (for|at) {time}",
    "(cancel|delete) all (my|) alarms",
    "i don't need the alarm (for|on) {day} (anymore|)",
    "get rid of my alarm (at|for) {time}",
    "switch (my|the) alarm off",
    "no alarm (for|on) {day}",
};
constexpr Phrase kCancelAlarmHeldOut[] = {
    "let me sleep in, skip the {time} alarm",
    "scrap the wake up call on {day}",
    "disable the {time} alarm",
};
constexpr Phrase kSetTimer[] = {
    "(set|start) a timer for {duration}",
    "{duration} timer",
    "count down {duration}",
    "(start|begin) a {duration} countdown",
    "time {duration} (for the pasta|for the eggs|)",
    "put {duration} on the timer",
    "i need a timer (of|for) {duration}",
};
constexpr Phrase kSetTimerHeldOut[] = {
    "let me know when {duration} (have|has) passed",
    "tell me after {duration}",
    "alert me in {duration}",
};
constexpr Phrase kSetReminder[] = {
    "remind me to {task} (at {time}|on {day}|tomorrow|)",
    "(set|create|add) a reminder to {task}",
    "don't let me forget to {task}",
    "i (have|need) to remember to {task} on {day}",
    "make a note that i have to {task} at {time}",
    "add {task} to my reminders",
    "reminder for {day}: {task}",
};
constexpr Phrase kSetReminderHeldOut[] = {
    "nudge me about having to {task}",
    "at {time} tell me to {task}",
    "i keep forgetting to {task}, help me",
};
constexpr Phrase kListReminders[] = {
    "what (reminders|things to do) do i have (for {day}|)",
    "(show|read|list) my reminders",
    "what did i ask you to remind me (of|about)",
    "do i have any reminders (for|on) {day}",
    "what is on my reminder list",
    "tell me (all|) my reminders (for {day}|)",
};
constexpr Phrase kListRemindersHeldOut[] = {
    "what was i supposed to do on {day}",
    "is there something i should remember (for {day}|)",
    "what's still on my list (for {day}|)",
};
constexpr Phrase kWeatherNow[] = {
    "what's the weather (like|) (in {city}|) (right now|today|)",
    "how (hot|cold|warm) is it (outside|in {city})",
    "is it raining (in {city}|outside|) (now|)",
    "what is the temperature (in {city}|outside)",
    "tell me the weather (in|for) {city}",
    "current weather (in|for) {city}",
    "is it (sunny|windy|snowing) (in {city}|today)",
};
constexpr Phrase kWeatherNowHeldOut[] = {
    "do i need a coat (today|outside)",
    "what's it like outside",
    "should i take an umbrella when i go out now",
};
constexpr Phrase kWeatherForecast[] = {
    "what will the weather be (like|) (on {day}|in {city} on {day})",
    "(weather|) forecast for {day} (in {city}|)",
    "will it (rain|snow|be sunny) (on {day}|in {city} {day})",
    "how (hot|cold|warm) will it be (on|) {day}",
    "give me the forecast for {city} (on|) {day}",
    "is it going to (rain|snow|storm) {day}",
    "what's the weather (looking like|going to be) {day}",
};
constexpr Phrase kWeatherForecastHeldOut[] = {
    "do i need a coat on {day}",
    "should we plan the picnic for {day} or will it be wet",
    "what's {day} looking like in {city}, sunny",
};
constexpr Phrase kPlayMusic[] = {
    "play {song}",           "(put on|start) {song}",     "i want to (hear|listen to) {song}",
    "can we have {song} on", "play {song} in the {room}", "start playing {song}",
    "music please, {song}",
};
constexpr Phrase kPlayMusicHeldOut[] = {
    "i'm in the mood for {song}",
    "let's hear {song}",
    "spin {song}",
};
constexpr Phrase kNextSong[] = {
    "(next|skip this) song",
    "skip (this|it|to the next one)",
    "play the next (song|track)",
    "i don't like this (song|one), next",
    "go to the next track",
    "change the song",
    "next track",
};
constexpr Phrase kNextSongHeldOut[] = {
    "not this one again, something else",
    "jump ahead one track",
    "enough of this tune, move on",
};
constexpr Phrase kChangeVolume[] = {
    "turn (up|down) the volume",
    "(volume|sound) (up|down)",
    "make (it|the music) (louder|quieter)",
    "set the volume to (five|ten|fifty percent|max)",
    "(increase|decrease|lower|raise) the volume",
    "it's too (loud|quiet)",
    "turn the (music|sound) (up|down) (a bit|a little|)",
};
constexpr Phrase kChangeVolumeHeldOut[] = {
    "i can barely hear this",
    "crank it (up|)",
    "my ears hurt, take it down a notch",
};
constexpr Phrase kLightsOn[] = {
    "turn on the {room} (light|lights)", "(switch|put) the lights on (in the {room}|)",
    "lights on (in the {room}|)",        "(turn|switch) on the lights (in the {room}|)",
    "i need light in the {room}",        "light up the {room}",
    "get the {room} lights on",
};
constexpr Phrase kLightsOnHeldOut[] = {
    "it's too dark in the {room}",
    "i can't see anything in the {room}",
    "brighten the {room}",
};
constexpr Phrase kLightsOff[] = {
    "turn off the {room} (light|lights)", "(switch|put) the lights off (in the {room}|)",
    "lights off (in the {room}|)",        "(turn|switch) off the lights (in the {room}|)",
    "no more light in the {room}",        "shut off the {room} lights",
    "get the {room} lights off",
};
constexpr Phrase kLightsOffHeldOut[] = {
    "make it dark in the {room}",
    "we left the {room} lights burning, kill them",
    "darken the {room}",
};
constexpr Phrase kSetTemperature[] = {
    "set the (thermostat|temperature|heating) to {degrees}",
    "make it {degrees} (in the {room}|in here)",
    "turn the (heat|heating|ac) (up|down) to {degrees}",
    "change the (thermostat|temperature) to {degrees} (in the {room}|)",
    "i want it to be {degrees} in the {room}",
    "(heat|cool) the {room} to {degrees}",
    "turn (up|down) the (heat|ac|thermostat)",
};
constexpr Phrase kSetTemperatureHeldOut[] = {
    "it's freezing in the {room}",
    "i'm sweating in here, cool it down",
    "the {room} should be warmer, say {degrees}",
};

constexpr DemoIntent kIntents[] = {
    {"set_alarm", kSetAlarm, kSetAlarmHeldOut},
    {"cancel_alarm", kCancelAlarm, kCancelAlarmHeldOut},
    {"set_timer", kSetTimer, kSetTimerHeldOut},
    {"set_reminder", kSetReminder, kSetReminderHeldOut},
    {"list_reminders", kListReminders, kListRemindersHeldOut},
    {"weather_now", kWeatherNow, kWeatherNowHeldOut},
    {"weather_forecast", kWeatherForecast, kWeatherForecastHeldOut},
    {"play_music", kPlayMusic, kPlayMusicHeldOut},
    {"next_song", kNextSong, kNextSongHeldOut},
    {"change_volume", kChangeVolume, kChangeVolumeHeldOut},
    {"lights_on", kLightsOn, kLightsOnHeldOut},
    {"lights_off", kLightsOff, kLightsOffHeldOut},
    {"set_temperature", kSetTemperature, kSetTemperatureHeldOut},
};

}  // namespace

std::span<const DemoIntent> demo_intents_home() {
  return kIntents;
}

}  // namespace fettle
