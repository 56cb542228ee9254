"""Golden vectors of chat templates: what transformers' `apply_chat_template` renders.

The templates are written here in the styles of the public ones, with every construct that those use.
Needs transformers (made with 5.23): python test/vectors/make-chat-templates.py
"""

import json
from pathlib import Path

from jinja2.exceptions import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

CHATML = """{% for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' -}}
{% endfor %}
{% if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{% endif %}
"""

LLAMA3 = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {{- raise_exception("no tools here") }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
        {{- raise_exception("After the optional system message, roles must alternate user/assistant") }}
    {%- endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, got " ~ message["role"] ~ " of " ~ user_messages|length) }}
    {%- endif %}
{%- endfor %}
"""

QWEN3 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and reasoning_content %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

CONSTRUCTS = """{#- a comment -#}
{%- macro line(role, text="nothing") -%}{{ role|upper }}={{ text|default("-") }}{%- endmacro -%}
{%- for message in messages if message.role in ['user', 'assistant'] -%}
  {%- if loop.index > 4 -%}{%- break -%}{%- endif -%}
  {%- if message.content == '' -%}{%- continue -%}{%- endif -%}
  {{ line(message.role, message.content | replace("a", "o")) }}|{{ loop.index }}/{{ loop.length }}|{{ message | tojson }}
  {{- ";" }}
{% else %}
nobody
{% endfor %}
{{ [1, 2.5, true, none] | tojson }} {{ {"é": "<&>", "n": [1]} | tojson(indent=2) }}
{{ messages | map(attribute="role") | join(",") }} {{ messages | rejectattr("role", "equalto", "user") | list | length }}
{{ range(2, 9, 3) | list | join("-") }} {{ 7 // 2 }} {{ 7 % 4 }} {{ -7 // 2 }} {{ 1 if messages else 2 }}
{{ "a,b".split(",") | last }} {{ "Title me"|title }} {{ "  s "|trim|length }} {{ 'n' if not undefined_name is defined }}
{%- set ns = namespace(found=false) %}{% for m in messages %}{% if m.role == 'system' %}{% set ns.found = true %}{% endif %}{% endfor %}
{{ 'y' if ns.found else 'n' }} {{ messages[-1].content[:3] }} {{ 'y' if pad_token is defined else 'n' }} {{ eos_token ~ 1 }} {{ "y" if "q" in "quay" and 1 == 1.0 else "n" }}"""

DATED = "{{ 'y' if strftime_now is defined else 'n' }} {% set y = strftime_now('%Y') %}{{ y | length }} {{ strftime_now('%d %b %Y') | length }}"
GENERATION = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %};{% endfor %}"

TEMPLATES = {
    "chatml": CHATML,
    "llama3": LLAMA3,
    "mistral": MISTRAL,
    "qwen3": QWEN3,
    "zephyr": ZEPHYR,
    "constructs": CONSTRUCTS,
    "dated": DATED,
    "generation": GENERATION,
}


def user(text):
    return {"role": "user", "content": text}


def system(text):
    return {"role": "system", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


CONVERSATIONS = [
    [user("Hello")],
    [system(" Be brief. "), user("Who are you?\nReally?")],
    [user("a"), assistant("  banana "), user("more \"quotes\" & <tags> 🐋 é")],
    [system("S"), user("1"), assistant("<think>\nhm\n</think>\n\ntwo"), user("3"), assistant("4"), user("5")],
    [user("one"), user("two")],
    [user(""), assistant(""), user("last")],
    [assistant("begins"), user("later")],
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def rendered(template, messages):
    try:
        texts, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=True, **TOKENS)
        return texts[0]
    except TemplateError as error:
        return {"refusal": str(error)}


def main():
    cases = [
        {"name": name, "messages": messages, "rendered": rendered(template, messages)}
        for name, template in TEMPLATES.items()
        for messages in CONVERSATIONS
    ]
    source = "test/vectors/make-chat-templates.py: transformers' apply_chat_template"
    content = {"source": source, "tokens": TOKENS, "templates": TEMPLATES, "cases": cases}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (Path(__file__).parent / "chat-templates.json").write_text(text + "\n")


main()
