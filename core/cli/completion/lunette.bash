# Completion for bash. What there is to complete is read from lunette's own help.

# Options of a command, one a line; those that take a value have a blank behind them.
_lunette_options() { # LUNETTE COMMAND
  "$1" help "$2" 2>/dev/null | sed -nE 's/^ +(-[a-z], )?(--[a-z-]+)(( [A-Z]).*|.*)$/\2\4/p' | sed -E 's/ .*/ /'
  printf '%s\n' --help
}

_lunette_commands() { # LUNETTE
  "$1" --help 2>/dev/null | sed -nE '/^commands:/,/^$/s/^  ([a-z]+) .*/\1/p'
}

_lunette_topics() { # LUNETTE
  "$1" --help 2>/dev/null | sed -nE '/^topics/,/^$/s/^  ([a-z]+) .*/\1/p'
}

# The place of the first word from the third on that is neither an option nor an option's value.
_lunette_first_argument() { # OPTIONS
  local i
  for ((i = 2; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --) echo $((i + 1)) && return ;;
      -*) [[ $'\n'"$1"$'\n' == *$'\n'"${COMP_WORDS[i]} "$'\n'* ]] && ((i++)) ;;
      *) break ;;
    esac
  done
  echo "$i"
}

_lunette() {
  local lunette=${COMP_WORDS[0]} command=${COMP_WORDS[1]} word=${COMP_WORDS[COMP_CWORD]}
  local presets='none public-only allow-all non-local'
  local options first
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W "$(_lunette_commands "$lunette") help --help --version" -- "$word")
    return
  fi
  if [[ $command == help ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_lunette_commands "$lunette") $(_lunette_topics "$lunette")" -- "$word")
    return
  fi
  options=$(_lunette_options "$lunette" "$command")
  first=$(_lunette_first_argument "$options")
  if [[ $command == run ]] && ((COMP_CWORD > first)); then # behind the policy: a command and what it takes
    [[ ${COMP_WORDS[first + 1]} == -- ]] && ((first++))
    ((COMP_CWORD == first + 1)) && mapfile -t COMPREPLY < <(compgen -c -- "$word")
  elif [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    return
  elif [[ $command == ca ]]; then
    mapfile -t COMPREPLY < <(compgen -W "show path regenerate" -- "$word")
    return
  elif [[ $command == ctl ]] && ((COMP_CWORD == first)); then
    mapfile -t COMPREPLY < <(compgen -W "stats flows pins rules secrets reload revoke events" -- "$word")
    return
  elif [[ $'\n'"$options"$'\n' != *$'\n'"${COMP_WORDS[COMP_CWORD - 1]} "$'\n'* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$presets" -- "$word")
  fi
  mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")
}

complete -o filenames -F _lunette lunette
